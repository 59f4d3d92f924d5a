"""Which contributors of a neuron are kept: the part in which the published methods differ.

A rule works out what each input contributes to a neuron; a selection decides which of them are followed.
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

Location = Literal["same", "argmax"]


@dataclass(frozen=True)
class CNNFixations:
    """Mopuri, Garg and Babu, *CNN Fixations*, IEEE TIP 2018, section III and algorithms 1 and 2.

    Attributes:
        location: where in a window the evidence goes on: ``"same"``, the centre of the window (the authors'
            choice for their experiments), or ``"argmax"``, the place of the largest product.
        fc_to_spatial: for a dense layer over a flattened map, ``"argmax"`` keeps the largest product of each
            neuron if it is positive (the authors' code), ``"all"`` every positive one (the paper).
        once: every neuron counts once, however often it is reached.
    """

    location: Location = "same"
    fc_to_spatial: Literal["argmax", "all"] = "argmax"
    once: bool = True

    def __post_init__(self) -> None:
        _check("location", self.location, ("same", "argmax"))
        _check("fc_to_spatial", self.fc_to_spatial, ("argmax", "all"))

    @property
    def reads_windows(self) -> bool:
        """Whether places in a window are chosen by their values, even where the channel is known."""
        return self.location == "argmax"

    def window(self, fan: Fan, evidence: Evidence) -> Evidence:
        """Evidence on the elements of the windows of a convolution that its neurons go on to (Algorithm 2).

        Below a convolution the sense is positive again.
        """
        channel = fan.strongest_channel()
        if self.location == "same":
            elements, coordinates = fan.centre(channel)
            return evidence.moved(elements, fan.shape, coordinates)
        return evidence.moved(fan.strongest_place(channel), fan.shape)

    def dense(self, fan: DenseFan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inputs of a vector that neurons of a dense layer go on to.

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


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TraceError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
