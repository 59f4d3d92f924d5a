"""``method="walk"``: the strongest neurons of the hand-off maps, walked down as in *CNN Fixations*.

Each neuron has one contributor in the map below, so its weight ends at few pixels. This is faster than
``method="evidence"`` and coarser: on a network with strides, a pixel stands for a whole cell of the last map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gazeback.cnn_trace.methods.evidence import carrying, check_share
from gazeback.cnn_trace.selection import CNNFixations

if TYPE_CHECKING:
    from gazeback.cnn_trace.rules.dense_fan import DenseFan


@dataclass(frozen=True)
class WeightedFixations(CNNFixations):
    """The walk of *CNN Fixations* below the hand-off, with weights that are conserved (docs/method.md).

    A neuron propagates its whole weight. If it has several contributors, they get it in proportion to their
    contributions.
    """

    once: bool = False
    share: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share)

    def start(self, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the neurons that carry the top share of each question's mass."""
        return carrying(mass, self.share)

    def dense(self, fan: DenseFan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Choose inputs as the published method does; the weight of each neuron is split among them."""
        if fan.over_map and self.fc_to_spatial == "argmax":
            neurons, inputs = fan.strongest()
            return inputs, weights[neurons]
        inputs = np.flatnonzero(fan.values)
        spread = np.zeros((len(inputs), weights.shape[1]))
        for part in fan.parts(len(inputs)):
            shares = np.maximum(fan.products(part, inputs), 0)
            total = shares.sum(axis=1, keepdims=True)
            shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
            spread += shares.T @ weights[part]
        kept = spread.any(axis=1)
        return inputs[kept], spread[kept]
