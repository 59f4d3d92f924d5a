"""Which contributors of a neuron are kept: the part in which the published methods differ.

A rule works out what each input contributes to a neuron; a selection decides which of them are followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gazeback.cnn_trace.errors import TraceError

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

    def inputs(self, contributions: np.ndarray, over_map: bool) -> np.ndarray:
        """Share of each neuron's weight that each input of a dense layer gets.

        Args:
            contributions: ``[n, inputs]`` products ``a * w``, the sense of the neuron applied.
            over_map: whether the inputs are a flattened spatial map.

        Returns:
            float ``[n, inputs]``, 0 where an input is dropped.
        """
        if over_map and self.fc_to_spatial == "argmax":
            best = contributions.argmax(axis=1)
            kept = np.zeros_like(contributions, dtype=bool)
            rows = np.arange(len(best))
            kept[rows, best] = contributions[rows, best] > 0
        else:
            kept = contributions > 0
        return kept.astype(np.float64)


@dataclass(frozen=True)
class WeightedFixations(CNNFixations):
    """The walk of *CNN Fixations* below the hand-off, carrying weights that add up (docs/method.md).

    A neuron hands its whole weight on; where it has several contributors, in proportion to what they
    contribute.
    """

    once: bool = False

    def inputs(self, contributions: np.ndarray, over_map: bool) -> np.ndarray:
        """As for the published method, with shares that sum to 1 for each neuron."""
        kept = super().inputs(contributions, over_map) * np.maximum(contributions, 0)
        total = kept.sum(axis=1, keepdims=True)
        return np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TraceError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
