"""Evidence: integer coordinates on one tensor, each with a weight for every question."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# A lookup table over a whole tensor is faster than sorting if it is not too large, in itself and for what
# is looked up.
_TABLE_SIZE, _TABLE_SHARE = 1 << 24, 64

# Up to this number of neurons a Python set is faster.
_FEW = 128


class Evidence:
    """Neurons of one tensor and their weights; immutable.

    Attributes:
        coordinates: int64 ``[n, rank]``, the batch axis (the image) first.
        weights: float64 ``[n, questions]``; a question is one target for every image of the batch. In the
            published methods every weight is 0 or 1.
        sense: int8 ``[n]``, a sign: +1 if a high value of the neuron is sought, -1 if a low value is (below a
            negative scale, such as the gamma of a batch normalisation).
        unique: whether no neuron occurs twice with the same sign (as after :func:`union`).
    """

    __slots__ = ("_coordinates", "_elements", "_sense", "_shape", "unique", "weights")

    def __init__(
        self,
        coordinates: np.ndarray | None,
        weights: np.ndarray,
        sense: np.ndarray | None,
        unique: bool = False,
        *,
        elements: np.ndarray | None = None,
        shape: tuple[int, ...] = (),
    ) -> None:
        self.weights, self.unique = weights, unique
        # None: positive everywhere.
        self._sense = sense
        # Flat indices of a tensor of this shape, if they are known; coordinates are computed on demand.
        self._coordinates, self._elements, self._shape = coordinates, elements, shape

    @classmethod
    def of(
        cls, coordinates: np.ndarray, weights: np.ndarray | None = None, sense: np.ndarray | None = None
    ) -> Evidence:
        """Make evidence; weights are 1 and signs positive if not given; ``weights`` may be ``[n]``."""
        coordinates = np.asarray(coordinates, np.int64)
        n = len(coordinates)
        weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
        weights = weights[:, None] if weights.ndim == 1 else weights
        return cls(coordinates, weights, None if sense is None else np.asarray(sense, np.int8))

    @property
    def sense(self) -> np.ndarray:
        return np.ones(len(self), np.int8) if self._sense is None else self._sense

    @property
    def is_positive(self) -> bool:
        """Whether a high value of every neuron is sought."""
        return self._sense is None or not bool((self._sense < 0).any())

    @property
    def coordinates(self) -> np.ndarray:
        if self._coordinates is None:
            assert self._elements is not None
            self._coordinates = unravelled(self._elements, self._shape)
        return self._coordinates

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        return f"Evidence({len(self)} neurons, {self.weights.shape[1]} questions)"

    @property
    def image(self) -> np.ndarray:
        """The index of each neuron's image in the batch, int64 ``[n]``."""
        return self.coordinates[:, 0]

    def elements(self, shape: tuple[int, ...]) -> np.ndarray:
        """The neurons as flat indices of their tensor of this shape, int64 ``[n]``."""
        if self._elements is not None and self._shape == shape:
            return self._elements
        coordinates = self.coordinates
        flat = coordinates[:, 0]
        for axis in range(1, len(shape)):
            flat = flat * shape[axis] + coordinates[:, axis]
        return flat

    def in_batch(self, size: int, rows: int) -> Evidence:
        """Adapt evidence from a batch of some rows to one of this size.

        If several rows share one image, their evidence is on this image.
        """
        if size == rows or size > 1:
            return self
        return self.at(np.column_stack([np.zeros_like(self.image), self.coordinates[:, 1:]]))

    def at(
        self, coordinates: np.ndarray, sense: np.ndarray | None = None, *, unique: bool = False
    ) -> Evidence:
        """Return the same weights at other coordinates, for rules that only move evidence.

        ``unique``: whether neurons of unique evidence stay distinct.
        """
        sense = self._sense if sense is None else sense
        return Evidence(coordinates, self.weights, sense, unique and self.unique)

    def moved(
        self, elements: np.ndarray, shape: tuple[int, ...], coordinates: np.ndarray | None = None
    ) -> Evidence:
        """Return the same weights, with positive signs, on elements of another tensor: flat indices int
        ``[n]``.

        ``coordinates``: those of the elements, if they are known.
        """
        return Evidence(coordinates, self.weights, None, elements=elements, shape=shape)

    def turned(self, sign: np.ndarray) -> Evidence:
        """Return the same neurons, with flipped signs where their factor ``[n]`` is negative."""
        negative = sign < 0
        if not negative.any():
            return self
        sense = self.sense
        return Evidence(self.coordinates, self.weights, np.where(negative, -sense, sense), self.unique)

    def take(self, rows: np.ndarray | slice, *, unique: bool = False) -> Evidence:
        """Return the evidence of some neurons, by slice, index or boolean mask ``[n]``.

        ``unique``: whether no row is taken twice.
        """
        sense = None if self._sense is None else self._sense[rows]
        elements = None if self._elements is None else self._elements[rows]
        coordinates = None if self._coordinates is None else self._coordinates[rows]
        return Evidence(
            coordinates,
            self.weights[rows],
            sense,
            unique and self.unique,
            elements=elements,
            shape=self._shape,
        )

    def weighing(self, weights: np.ndarray) -> Evidence:
        """Return the same distinct neurons with other weights, ``[n, questions]``."""
        return Evidence(
            self._coordinates, weights, self._sense, True, elements=self._elements, shape=self._shape
        )

    def shared(self, rows: np.ndarray, weights: np.ndarray, *, unique: bool = False) -> Evidence:
        """Return the neurons of some rows, with the weights ``[m, questions]``.

        ``unique``: whether no row is taken twice.
        """
        part = self.take(rows, unique=unique)
        part.weights = weights
        return part

    def question(self, image: int, question: int) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates ``[m, rank - 1]`` (no batch axis) and weights ``[m]`` of one image and one question."""
        weights = self.weights[:, question]
        kept = (self.coordinates[:, 0] == image) & (weights > 0)
        return self.coordinates[kept, 1:], weights[kept]


def unravelled(elements: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Convert flat indices to coordinates, int64 ``[n, rank]``."""
    coordinates = np.empty((len(elements), len(shape)), np.int64)
    for axis in range(len(shape) - 1, 0, -1):
        elements, coordinates[:, axis] = np.divmod(elements, shape[axis])
    coordinates[:, 0] = elements
    return coordinates


def union(parts: Sequence[Evidence], shape: tuple[int, ...], *, once: bool) -> Evidence:
    """Concatenate evidence, and merge equal neurons with equal signs.

    Args:
        parts: evidence on one tensor.
        shape: the tensor's shape, batch axis included.
        once: merged weights are 1 if any is positive (the published methods), instead of their sum.
    """
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1 and (parts[0].unique or not len(parts[0])):
        return parts[0]
    whole = parts[0] if len(parts) == 1 else _joined(parts, shape)
    elements = whole.elements(shape)
    keys, size = elements, math.prod(shape)
    if not whole.is_positive:
        keys, size = elements * 2 + (whole.sense < 0), 2 * size
    first, index = _distinct(keys, size)
    weights = whole.weights
    if len(first) < len(keys):
        weights = _add_up(weights, index, len(first))
        whole = whole.take(first)
    if once:
        weights = (weights > 0).astype(np.float64)
    return whole.weighing(weights)


def _joined(parts: Sequence[Evidence], shape: tuple[int, ...]) -> Evidence:
    positive = all(part.is_positive for part in parts)
    return Evidence(
        None,
        np.concatenate([part.weights for part in parts]),
        None if positive else np.concatenate([part.sense for part in parts]),
        elements=np.concatenate([part.elements(shape) for part in parts]),
        shape=shape,
    )


def _distinct(keys: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the first index of each distinct key, and for every key the number of its distinct key."""
    if len(keys) <= _FEW and len(set(keys.tolist())) == len(keys):
        return np.arange(len(keys)), np.arange(len(keys))
    if size > _TABLE_SIZE or size > _TABLE_SHARE * len(keys):
        order = keys.argsort(kind="stable")
        ordered = keys[order]
        new = np.empty(len(keys), bool)
        new[0] = True
        np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
        if new.all():
            return np.arange(len(keys)), order
        index = np.empty(len(keys), np.int64)
        index[order] = new.cumsum() - 1
        return order[new], index
    place = np.full(size, -1, np.int64)
    place[keys[::-1]] = np.arange(len(keys))[::-1]  # the first of equal keys is written last
    firsts = place[keys]
    is_first = firsts == np.arange(len(keys))
    return np.flatnonzero(is_first), (is_first.cumsum() - 1)[firsts]


def _add_up(weights: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Sum the rows ``weights [n, questions]`` that share an index, float64 ``[size, questions]``."""
    questions = weights.shape[1]
    if questions == 1:
        return np.bincount(index, weights[:, 0], size)[:, None]
    flat = (index[:, None] * questions + np.arange(questions)).ravel()
    return np.bincount(flat, weights.ravel(), size * questions).reshape(size, questions)
