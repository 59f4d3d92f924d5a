"""Evidence: integer coordinates on one tensor, each with a weight for every question asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Up to this many neurons a lookup table over the whole tensor is faster than sorting.
_TABLE_SIZE = 1 << 23


@dataclass(frozen=True)
class Evidence:
    """Neurons of one tensor and what they weigh.

    Attributes:
        coordinates: int64 ``[n, rank]``, the batch axis (which image) first.
        weights: float64 ``[n, questions]``; a question is one target asked of every image of the batch. The
            published methods are the special case where every weight is 0 or 1.
        sense: int8 ``[n]``, +1 where a high value of the neuron is sought, -1 where a low one is (below a
            negative scale, such as the gamma of a batch normalisation).
        unique: whether no neuron occurs twice with the same sense (as :func:`union` leaves it).
    """

    coordinates: np.ndarray
    weights: np.ndarray
    sense: np.ndarray
    unique: bool = False

    @classmethod
    def of(
        cls, coordinates: np.ndarray, weights: np.ndarray | None = None, sense: np.ndarray | None = None
    ) -> Evidence:
        """Evidence with weight 1 and positive sense where none are given; ``weights`` may be ``[n]``."""
        coordinates = np.asarray(coordinates, np.int64)
        n = len(coordinates)
        weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
        weights = weights[:, None] if weights.ndim == 1 else weights
        sense = np.ones(n, np.int8) if sense is None else np.asarray(sense, np.int8)
        return cls(coordinates, weights, sense)

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def image(self) -> np.ndarray:
        """Which image of the batch each neuron belongs to, int64 ``[n]``."""
        return self.coordinates[:, 0]

    def at(self, coordinates: np.ndarray, sense: np.ndarray | None = None) -> Evidence:
        """The same weights at other coordinates: what a rule returns that only moves evidence."""
        return Evidence(coordinates, self.weights, self.sense if sense is None else sense)

    def turned(self, sign: np.ndarray) -> Evidence:
        """In place, with the sense multiplied by a sign for each neuron, int ``[n]``."""
        if (sign > 0).all():
            return self
        sense = (self.sense * sign).astype(np.int8)
        return Evidence(self.coordinates, self.weights, sense, self.unique)

    def take(self, rows: np.ndarray) -> Evidence:
        """The evidence of some neurons, by index or boolean mask ``[n]``."""
        return Evidence(self.coordinates[rows], self.weights[rows], self.sense[rows])

    def question(self, image: int, question: int) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates ``[m, rank - 1]`` (no batch axis) and weights ``[m]`` of one image and one question."""
        weights = self.weights[:, question]
        kept = (self.coordinates[:, 0] == image) & (weights > 0)
        return self.coordinates[kept, 1:], weights[kept]


def union(parts: Sequence[Evidence], shape: tuple[int, ...], *, once: bool) -> Evidence:
    """Concatenate, and merge equal neurons of equal sense.

    Args:
        parts: evidence on one tensor.
        shape: the tensor's shape, batch axis included.
        once: merged weights are 1 where any is positive (the published methods) instead of added up.
    """
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1 and parts[0].unique:
        return parts[0]
    coordinates = np.concatenate([part.coordinates for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    sense = np.concatenate([part.sense for part in parts])
    negative = bool((sense < 0).any())
    sizes = (*shape, 2) if negative else shape
    columns = tuple(coordinates.T) + ((sense < 0).astype(np.int64),) * negative
    keys = np.ravel_multi_index(columns, sizes)
    unique, index = _unique(keys, int(np.prod(sizes)))
    if len(unique) == len(keys) and not once:
        return Evidence(coordinates, weights, sense, unique=True)
    merged = _add_up(weights, index, len(unique))
    if once:
        merged = (merged > 0).astype(np.float64)
    found = np.stack(np.unravel_index(unique, sizes), axis=1)
    if negative:
        return Evidence(found[:, :-1], merged, np.where(found[:, -1], -1, 1).astype(np.int8), unique=True)
    return Evidence(found, merged, np.ones(len(unique), np.int8), unique=True)


def _unique(keys: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    if size > _TABLE_SIZE:
        return np.unique(keys, return_inverse=True)
    seen = np.zeros(size, bool)
    seen[keys] = True
    unique = np.flatnonzero(seen)
    place = np.empty(size, np.int64)
    place[unique] = np.arange(len(unique))
    return unique, place[keys]


def _add_up(weights: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Sum the rows ``weights [n, questions]`` that share an index, float64 ``[size, questions]``."""
    questions = weights.shape[1]
    flat = (index[:, None] * questions + np.arange(questions)).ravel()
    return np.bincount(flat, weights.ravel(), size * questions).reshape(size, questions)
