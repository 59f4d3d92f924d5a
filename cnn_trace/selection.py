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


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TraceError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
