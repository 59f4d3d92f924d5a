"""``method="walk"``: the strongest neurons of the hand-off maps, walked down as in *CNN Fixations*.

Each neuron has one contributor in the map below, so its weight ends at few pixels. This is faster than
``method="evidence"`` and coarser: on a network with strides, a pixel stands for a whole cell of the last map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.selection import CNNFixations

if TYPE_CHECKING:
    from gazeback.cnn_trace.rules.dense_fan import DenseFan


def strongest(mass: np.ndarray, share: float) -> np.ndarray:
    """Find the elements that carry the top ``share`` of the sum (step 5): flat indices, the smallest last."""
    flat = mass.ravel()
    total = float(flat.sum(dtype=np.float64))
    if not total:
        return np.zeros(0, np.int64)
    floor = float(flat.max())
    while True:
        # Sorting a whole map takes longer than the walk; usually a few of its neurons are enough.
        floor = floor / 16 if floor > 1e-6 * float(flat.max()) else 0.0
        candidates = np.flatnonzero(flat > floor)
        values = flat[candidates]
        if not floor or float(values.sum(dtype=np.float64)) >= share * total:
            break
    falling = np.sort(values)[::-1]
    count = int(np.searchsorted(np.cumsum(falling, dtype=np.float64), share * total * (1 - 1e-9))) + 1
    smallest = falling[min(count, len(falling)) - 1]
    larger = candidates[values > smallest]
    return np.concatenate([larger, candidates[values == smallest][: count - len(larger)]])


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
        if not 0 < self.share <= 1:
            raise TraceError(f"share must be above 0 and at most 1, got {self.share}")

    def start(self, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the neurons that carry the top share of each question's mass."""
        chosen = [strongest(row, self.share) for row in mass]
        elements = np.unique(np.concatenate(chosen))
        weights = np.zeros((len(elements), len(mass)))
        for question, (row, kept) in enumerate(zip(mass, chosen, strict=True)):
            weights[np.searchsorted(elements, kept), question] = row[kept]
        return elements, weights / np.maximum(weights.sum(axis=0), 1e-30)

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
