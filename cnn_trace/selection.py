"""Select the contributors of a neuron that are kept: the part in which the published methods differ.

A rule computes how much each input contributes to a neuron. A selection decides which inputs are followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gazeback.cnn_trace.errors import TraceError

if TYPE_CHECKING:
    from gazeback.cnn_trace.neurons import Evidence
    from gazeback.cnn_trace.rules.dense_fan import DenseFan
    from gazeback.cnn_trace.rules.fan import Fan
    from gazeback.cnn_trace.step import Step

# Rows and columns of an array of terms, int ``[m]`` each, and the weights that they carry ``[m, questions]``.
Terms = tuple[np.ndarray, np.ndarray, np.ndarray]

Location = Literal["same", "argmax"]


@dataclass(frozen=True)
class CNNFixations:
    """The selection of *CNN Fixations*: Mopuri, Garg, Babu, IEEE TIP 2018, section III, algorithms 1 and 2.

    Attributes:
        location: the location in a window to which evidence propagates: ``"same"``, the centre of the window
            (the authors' choice for their experiments), or ``"argmax"``, that of the largest product.
        fc_to_spatial: for a dense layer over a flattened map, ``"argmax"`` keeps the largest product of each
            neuron if it is positive (the authors' code), ``"all"`` every positive one (the paper).
        once: whether a neuron that is reached several times counts once.
    """

    location: Location = "same"
    fc_to_spatial: Literal["argmax", "all"] = "argmax"
    once: bool = True

    def __post_init__(self) -> None:
        _check("location", self.location, ("same", "argmax"))
        _check("fc_to_spatial", self.fc_to_spatial, ("argmax", "all"))

    @property
    def reads_windows(self) -> bool:
        """Whether the location in a window is chosen by its values, even if the channel is known."""
        return self.location == "argmax"

    def start(self, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the neurons of the hand-off maps at which the walk starts: all that have mass.

        Args:
            mass: ``[questions, elements]`` of one image, not negative.

        Returns:
            Elements int ``[n]`` and their weights ``[n, questions]``; those of a question sum to 1.
        """
        elements = np.flatnonzero(mass.any(axis=0))
        weights = mass[:, elements].T.astype(np.float64)
        return elements, weights / np.maximum(weights.sum(axis=0), 1e-30)

    @property
    def proportional(self) -> bool:
        """Whether several contributors are kept, each in proportion to what it contributes."""
        return False

    def window(self, fan: Fan, evidence: Evidence) -> Evidence:
        """Propagate evidence to elements of the windows of a convolution (Algorithm 2).

        Below a convolution the sign is positive again.
        """
        channel = fan.strongest_channel()
        if self.location == "same":
            elements, coordinates = fan.centre(channel)
            return evidence.moved(elements, fan.shape, coordinates)
        return evidence.moved(fan.strongest_place(channel), fan.shape)

    def dense(self, fan: DenseFan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the inputs of a vector to which neurons of a dense layer propagate.

        Args:
            fan: the neurons' inputs.
            weights: float64 ``[n, questions]`` of the neurons.

        Returns:
            Inputs int ``[m]`` and their weights ``[m, questions]``.
        """
        if fan.over_map and self.fc_to_spatial == "argmax":
            neurons, inputs = fan.strongest()
            return inputs, weights[neurons]
        reached = [fan.supporters(np.flatnonzero(asked)) for asked in weights.T]
        inputs = np.unique(np.concatenate(reached))
        return inputs, np.column_stack([np.isin(inputs, kept) for kept in reached]).astype(np.float64)

    def terms(
        self, values: np.ndarray, evidence: Evidence, step: Step, inside: np.ndarray | None = None,
        signed: bool = True,
    ) -> Terms:  # fmt: skip
        """Select the terms of a sum to which neurons propagate: the largest one of each.

        Args:
            values: ``[n, terms]``.
            evidence: the neurons that are sums of them.
            step: the call, whose inputs the terms belong to.
            inside: bool ``[n, terms]``: which of them are none of padding; by default all.
            signed: whether a neuron that is sought low propagates to its smallest term.
        """
        if signed and not evidence.is_positive:
            values = values * evidence.sense[:, None]
        if inside is not None:
            values = np.where(inside, values, -np.inf)
        return np.arange(len(values)), values.argmax(axis=1), evidence.weights

    def sense_of(self, values: np.ndarray) -> np.ndarray | None:
        """The sign with which the inputs of a weighted layer are sought; None: all are sought high."""
        return None


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TraceError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
