"""Measure what a network loses without its relevant features (Oramas et al. 2019, section 4.2 and Figure 4).

The first k features of each class are set to zero and the mean class accuracy is measured. Two protocols: all
classes' features at once, and each class without its own features alone. The comparison is with random sets
of as many filters of each layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.relevant import RelevantFeatures
from gazeback.eval.metrics.statistics import Summary, grouped_mean

COUNTS = (1, 2, 4, 8)
"""The numbers of filters of each class that are removed, at most as many as the class has."""
DRAWS = 10
TOGETHER, OWN = "all classes' features", "each class without its own"
PROTOCOLS = (TOGETHER, OWN)


@dataclass(frozen=True, eq=False)
class Removal:
    """A set of filters to remove: bool [classes, D], the filters that are removed for photos of each class.

    draw: the number of the random draw, None for the selected features.
    """

    variant: str
    protocol: str
    count: int
    draw: int | None
    masks: np.ndarray

    @property
    def curve(self) -> tuple[str, str, int]:
        """The key that a selected set and its random sets have in common."""
        return self.variant, self.protocol, self.count

    @property
    def filters(self) -> float:
        """The number of removed filters, the mean over the classes."""
        return float(self.masks.sum(axis=1).mean())


def removals(
    relevant: Iterable[RelevantFeatures], forward: Forward, counts: Sequence[int] = COUNTS, seed: int = 0
) -> list[Removal]:
    """List every set of filters to remove: for each variant, protocol and count, the selected set and `DRAWS`
    random sets."""
    random = np.random.default_rng(seed)
    found = []
    for one in relevant:
        for count in counts:
            own = np.stack([selected(one, name, count, forward) for name in one.classes])
            together = np.repeat(own.any(axis=0, keepdims=True), len(own), axis=0)
            for protocol, masks in ((TOGETHER, together), (OWN, own)):
                found.append(Removal(one.variant, protocol, count, None, masks))
                for draw in range(DRAWS):
                    # If all classes lose the same filters, one random draw is for all of them.
                    rows = masks[:1] if protocol == TOGETHER else masks
                    drawn = np.stack([randomly(row, forward, random) for row in rows])
                    drawn = np.repeat(drawn, len(masks) // len(rows), axis=0)
                    found.append(Removal(one.variant, protocol, count, draw, drawn))
    return found


def selected(relevant: RelevantFeatures, name: str, count: int, forward: Forward) -> np.ndarray:
    """Mark the first features of a class: bool [D]."""
    mask: np.ndarray = np.zeros(forward.filters, bool)
    for feature in relevant.of(name)[:count]:
        mask[forward.offsets[feature.layer].start + feature.filter] = True
    return mask


def randomly(mask: np.ndarray, forward: Forward, random: np.random.Generator) -> np.ndarray:
    """Draw as many filters of each layer as bool [D] has, from all filters of that layer."""
    drawn = np.zeros_like(mask)
    for columns in forward.offsets.values():
        if mask[columns].any():
            drawn[columns] = random.permutation(mask[columns])
    return drawn


@dataclass(frozen=True, eq=False)
class Hits:
    """The photos that are recognised correctly: base bool [n], and bool [removals, n]; labels int [n]."""

    base: np.ndarray
    without: np.ndarray
    labels: np.ndarray


def measure(
    forward: Forward,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    outputs: Sequence[int],
    sets: Sequence[Removal],
) -> Iterator[Hits]:
    """Recognise photos with and without filters, batch by batch.

    Args:
        batches: images [n, ...] as the network reads them, and their classes int [n], numbers of `outputs`.
        outputs: the network's output of each class.
    """
    for images, labels in batches:
        wanted = np.asarray(outputs)[labels]
        removed = np.stack([np.zeros_like(sets[0].masks[labels]), *(one.masks[labels] for one in sets)])
        right = forward.ablated(images, removed).argmax(axis=-1) == wanted
        yield Hits(right[0], right[1:], labels)


def summarise(hits: Sequence[Hits], sets: Sequence[Removal]) -> dict[str, Any]:
    """Compute the curves: mean class accuracies, and the cost of removing filters.

    Returns:
        `accuracy` with all filters, and `curve`, which has a row for each variant, protocol and count. A row
        has `filters`, the `selected` and `random` accuracies, and `ratio`. The accuracies are `Summary`: of
        the selected set over the photos of each class, of the random sets over the draws. `ratio` is the cost
        of the selected set divided by that of a random set, None if random sets cost nothing.
    """
    base = np.concatenate([one.base for one in hits])
    without = np.concatenate([one.without for one in hits], axis=1)
    labels = np.concatenate([one.labels for one in hits])
    whole = class_accuracy(base, labels)
    draws: dict[tuple[str, str, int], list[float]] = {}
    for one, right in zip(sets, without, strict=True):
        if one.draw is not None:
            draws.setdefault(one.curve, []).append(class_accuracy(right, labels).mean or 0.0)
    rows = []
    for one, right in zip(sets, without, strict=True):
        if one.draw is None:
            random, chosen = grouped_mean(dict(enumerate(draws[one.curve]))), class_accuracy(right, labels)
            row = {"variant": one.variant, "protocol": one.protocol, "count": one.count}
            costs = {
                "selected": chosen.as_json(),
                "random": random.as_json(),
                "ratio": ratio(whole, chosen, random),
            }
            rows.append({**row, "filters": one.filters, **costs})
    return {"accuracy": whole.as_json(), "curve": rows}


def class_accuracy(right: np.ndarray, labels: np.ndarray) -> Summary:
    """Compute the mean over the classes of the fraction of their photos that are right: bool [n], int [n].

    Its standard error is that of a mean of independent fractions, each with the error of its class's photos.
    """
    shares, variances = [], []
    for label in np.unique(labels):
        share = float(right[labels == label].mean())
        shares.append(share)
        variances.append(share * (1 - share) / max((labels == label).sum() - 1, 1))
    error = float(np.sqrt(np.sum(variances)) / len(shares))
    return Summary(len(labels), len(labels), float(np.mean(shares)), error)


def ratio(whole: Summary, selected: Summary, random: Summary) -> float | None:
    """The cost of the selected set divided by that of a random set; None if the random set costs nothing."""
    assert whole.mean is not None
    assert selected.mean is not None
    assert random.mean is not None
    cost = whole.mean - random.mean
    return (whole.mean - selected.mean) / cost if cost > 0 else None
