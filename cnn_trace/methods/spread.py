"""The spread: below the hand-off every neuron hands its weight to the inputs that support its value.

In proportion to their products: ``r_i += r_j * z_ij / sum over i of z_ij``, ``z_ij = max(0, s_j a_i w_ij)``,
with ``s_j`` the sign of the neuron's value before its activation (docs/method.md). Where everything is
non-negative, this is excitation backpropagation (Zhang et al., IJCV 2018) and the z+ rule (Montavon et al.,
Pattern Recognition 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.layout import columns_last, shape_last
from gazeback.cnn_trace.methods.evidence import carrying, check_share
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.selection import CNNFixations, Terms

if TYPE_CHECKING:
    from gazeback.cnn_trace.rules.dense_fan import DenseFan
    from gazeback.cnn_trace.rules.fan import Fan
    from gazeback.cnn_trace.step import Step

# A contributor is drawn from blocks of at most so many: first the block, then one of its elements.
_BLOCK = 48
# Where systematic resampling starts. It is no fraction of small numbers, so that equal weights, which differ
# in their last digits, do not end at a boundary.
_START = (np.sqrt(5) - 1) / 2

ALL: Literal["all"] = "all"


@dataclass(frozen=True)
class Spread(CNNFixations):
    """Every contributor in proportion to its product. In large maps contributors are drawn in proportion.

    Contributors that are drawn share the weight of their neuron evenly, so that it keeps its sum. All
    questions about an image share the neurons: each neuron carries a weight for every question. So an answer
    depends a little on which others are asked with it, unless ``neurons`` is ``"all"``.

    Attributes:
        neurons: the number of neurons of a tensor that carry the weights of an image; ``"all"`` keeps
            every contributor. None: 250 and 50 for each question, at most 600.
        share: the fraction of the net relevance whose neurons are followed, the strongest first.
    """

    once: bool = False
    neurons: int | Literal["all"] | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share)
        if self.neurons not in (ALL, None) and (not isinstance(self.neurons, int) or self.neurons < 1):
            raise TraceError(f'neurons must be 1 or more, or "{ALL}", got {self.neurons!r}')

    @property
    def reads_windows(self) -> bool:
        """Every product counts."""
        return True

    @property
    def proportional(self) -> bool:
        """All contributors count in proportion."""
        return True

    def sense_of(self, values: np.ndarray) -> np.ndarray | None:
        """A negative input supports a neuron by being low."""
        negative = values < 0
        return np.where(negative, -1, 1).astype(np.int8) if negative.any() else None

    def start(self, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select neurons with probabilities in proportion to their mass."""
        budget = self._budget(len(mass))
        if self.share < 1:
            elements, weights = carrying(mass, self.share)
        elif np.count_nonzero(mass.any(axis=0)) > budget:
            elements, weights = np.arange(mass.shape[1]), mass.T
        else:
            elements, weights = super().start(mass)
        if len(elements) <= budget:
            return elements, weights
        copies, each = _copies(int(budget), weights)
        kept = copies > 0
        weights = each[kept] * copies[kept, None]
        return elements[kept], weights / np.maximum(weights.sum(axis=0), 1e-300)

    def window(self, fan: Fan, evidence: Evidence) -> Evidence:
        """Propagate evidence to the elements whose products have the sign of their neuron."""
        draws = self._draws(evidence.coordinates, evidence.weights, fan.step)
        found = []
        for part in fan.parts():
            products = fan.products(part)
            products = products.reshape(len(products), -1)
            if (fan.sense[part] < 0).any():
                products *= fan.sense[part, None]
            support = supporting(products, lambda rows: fan.inside(part)[rows])  # noqa: B023
            rows, columns, weights = draws.among(part, support)
            found.append((*fan.inputs(part, rows, columns), weights))
        elements, values, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Evidence(None, weights, self.sense_of(values), elements=elements, shape=fan.shape)

    def dense(self, fan: DenseFan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the inputs whose products have the sign of their neuron."""
        draws = self._draws(fan.neurons, weights, fan.step)
        inputs, found = np.arange(len(fan.values)), []
        for part in fan.parts(len(inputs)):
            _, columns, shares = draws.among(part, supporting(fan.products(part, inputs)))
            found.append((columns, shares))
        columns, shares = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return columns, shares

    def terms(
        self, values: np.ndarray, evidence: Evidence, step: Step, inside: np.ndarray | None = None,
        signed: bool = True,
    ) -> Terms:  # fmt: skip
        """Select the terms that have the sign of their sum."""
        values = values * evidence.sense[:, None]
        if inside is not None:
            values = np.where(inside, values, 0)
        draws = self._draws(evidence.coordinates, evidence.weights, step)
        return draws.among(slice(None), supporting(values, None if inside is None else inside.__getitem__))

    def _draws(self, neurons: np.ndarray, weights: np.ndarray, step: Step) -> _Draws:
        """Contributors are drawn where the inputs have more neurons than may carry weights."""
        budget = self._budget(weights.shape[1])
        if sum(math.prod(step.shape(t)[1:]) for t in step.call.inputs) <= budget:
            return _Draws(weights, None, np.zeros(len(weights)))
        shape = shape_last(step.output, step.shape(step.output))
        places = np.ravel_multi_index(tuple(columns_last(step.output, neurons).T), shape)
        return _draws(int(budget), places, math.prod(shape[1:]), weights, step.call.name)

    def _budget(self, questions: int) -> float:
        """The number of neurons that carry the weights of an image."""
        if self.neurons is None:
            return min(600, 250 + 50 * questions)
        return math.inf if self.neurons == ALL else int(self.neurons)


def supporting(products: np.ndarray, inside: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """What each product contributes to its neuron, ``[n, products]``, not negative.

    The positive products. A neuron that has none was made by its bias alone: then the magnitudes, and for a
    neuron whose inputs are all zero, each of them alike.

    Args:
        products: ``[n, products]``, times the sign of the neuron.
        inside: for some rows, which products belong to an input and not to padding; by default all do.
    """
    support = np.maximum(products, 0)
    for replacement in (lambda rows: np.abs(products[rows]), inside or np.ones_like):
        empty = np.flatnonzero(np.einsum("ij->i", support) <= 0)
        if not len(empty):
            break
        support[empty] = replacement(empty)
    return support


@dataclass(frozen=True)
class _Draws:
    """How often contributors are drawn for each neuron, and what each of them carries.

    Attributes:
        weights: float64 ``[n, questions]`` of one contributor.
        copies: int ``[n]``, the number of contributors; None: all of them, in proportion.
        offsets: float64 ``[n]``, 0 to 1: the place of the first one in its stretch of the contributors.
    """

    weights: np.ndarray
    copies: np.ndarray | None
    offsets: np.ndarray

    def among(self, part: slice, support: np.ndarray) -> Terms:
        """Some neurons' contributors: int rows and columns of ``support``, and the weights they carry."""
        weights = self.weights[part]
        if self.copies is None:
            rows, columns = np.nonzero(support)
            shares = support[rows, columns] / support.sum(axis=1, dtype=np.float64)[rows]
            return rows, columns, weights[rows] * shares[:, None]
        copies = self.copies[part]
        rows = np.repeat(np.arange(len(copies)), copies)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
        columns = drawn(support, rows, (number + self.offsets[part][rows]) / copies[rows])
        if len(rows) == len(copies):
            return rows, columns, weights
        # A neuron's contributors come in order, equal ones one after another.
        places = rows * support.shape[1] + columns
        new = np.ones(len(rows), bool)
        np.not_equal(places[1:], places[:-1], out=new[1:])
        first = np.flatnonzero(new)
        times = np.diff(first, append=len(rows))
        return rows[first], columns[first], weights[rows[first]] * times[:, None]


def _draws(budget: int, places: np.ndarray, size: int, weights: np.ndarray, name: str) -> _Draws:
    """Every neuron has one contributor, and the heavier ones more, as many as the budget allows.

    Args:
        budget: the number of contributors for each image.
        places: int ``[n]``, the flat indices of the neurons; ``size``: of an image's part of the tensor.
        weights: float64 ``[n, questions]``.
        name: of the call, so that draws in different layers are independent.
    """
    copies, each = np.zeros(len(weights), np.int64), weights.copy()
    order = places.argsort(kind="stable")  # the draws of an image must not depend on the rest of the batch
    images, within = np.divmod(places, size)
    ends = np.searchsorted(images[order], np.arange(images[order[0]], images[order[-1]]), side="right")
    for rows in np.split(order, ends):
        copies[rows], each[rows] = _copies(budget, weights[rows])
    return _Draws(each, copies, uniform(within, name))


def _copies(budget: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of contributors of each neuron of one image, and the weights of one of them.

    By systematic resampling.
    More neurons than the budget are resampled first, the heavier for the question being likelier.
    """
    total = weights.sum(axis=0)
    # Column by column: a matrix product rounds differently in a batch, and other neurons would be drawn.
    share = sum(column / max(whole, 1e-300) for column, whole in zip(weights.T, total, strict=True))
    share /= max(share.sum(), 1e-300)
    spare = budget - len(weights)
    copies = systematic(share, spare if spare >= 0 else budget) + (spare >= 0)
    if spare >= 0:
        return copies, weights / copies[:, None]
    heaviest = weights.argmax(axis=0)
    copies[heaviest] = np.maximum(copies[heaviest], 1)
    kept = np.flatnonzero((copies > 0) & (share > 0))
    carried = weights[kept] / share[kept, None]
    each = np.zeros(weights.shape)
    each[kept] = carried * (total / np.maximum(copies[kept] @ carried, 1e-300))
    return copies, each


def systematic(share: np.ndarray, count: int) -> np.ndarray:
    """Distribute a count in proportion to shares that sum to 1, by systematic resampling; int ``[n]``."""
    ends = np.floor(np.cumsum(share) * count + _START).astype(np.int64)
    ends[1:] -= ends[:-1].copy()
    return ends


def drawn(support: np.ndarray, rows: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """The column of each row at which so much of the row's sum is reached, int ``[draws]``.

    Args:
        support: ``[n, columns]``, not negative, no row all zero.
        rows: int ``[draws]``; ``fraction``: ``[draws]``, at least 0 and below 1.
    """
    n, width = support.shape
    size = max(size for size in range(1, _BLOCK + 1) if width % size == 0)
    if width <= _BLOCK or size * 8 < _BLOCK:
        return _reached(support, rows, fraction)
    blocks = support.reshape(n, width // size, size)
    sums = np.einsum("nbs->nb", blocks)
    ends = np.cumsum(sums, axis=1, dtype=np.float64)
    block, rest = _reached_in(ends, rows, fraction * ends[rows, -1])
    inner = np.cumsum(blocks[rows, block], axis=1, dtype=np.float64)
    column, _ = _reached_in(inner, np.arange(len(rows)), rest)
    return block * size + column


def _reached(support: np.ndarray, rows: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    ends = np.cumsum(support, axis=1, dtype=np.float64)
    return _reached_in(ends, rows, fraction * ends[rows, -1])[0]


def _reached_in(ends: np.ndarray, rows: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first place of each row whose end lies beyond the target, and what is left of the target there."""
    ends = ends[rows]
    target = np.minimum(target, np.nextafter(ends[:, -1], 0))
    place = np.count_nonzero(ends <= target[:, None], axis=1)
    before = np.where(place > 0, ends[np.arange(len(ends)), place - 1], 0)
    return place, target - before


def uniform(places: np.ndarray, name: str) -> np.ndarray:
    """A number from 0 to 1 for each place of a tensor, int ``[n]``, and the name of a call, by a hash."""
    # SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
    key = (places.astype(np.uint64) + np.uint64(crc32(name.encode()))) * np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    key ^= key >> np.uint64(31)
    return (key >> np.uint64(11)).astype(np.float64) / 2**53
