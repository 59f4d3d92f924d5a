"""The pointing game with its tolerance.

Source: Zhang et al. 2018, *Top-down neural attention by excitation backprop*, section 4.1.

A map hits if its maximum lies on an object of the category that was asked for, or within 15 pixels of one,
counted in pixels of the image as it was annotated. All places are (row, column) of pixels' centres there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from gazeback.eval.objects import ObjectImage

TOLERANCE = 15.0
"""Pixels."""

SMALL = 0.25
"""Objects that cover less of an image are difficult."""


def maxima(heat: np.ndarray) -> np.ndarray:
    """Where a map float [h, w], nowhere negative, is largest: int [n, 2]; none for a map of zeros."""
    return np.argwhere((heat == heat.max()) & (heat > 0))


def distances(mask: np.ndarray) -> np.ndarray:
    """How far each pixel's centre is from that of the nearest pixel of an object, bool [height, width], which
    has one at least."""
    return distance_transform_edt(~mask)


def hit(points: np.ndarray, far: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """The share of the points, float [n, 2], that lie within the tolerance; 0 if there are none.

    `far`: the `distances` of the annotated image. A point counts for the pixel that it lies in.
    """
    if not len(points):
        return 0.0
    rows, columns = np.clip(np.rint(points).astype(int), 0, np.subtract(far.shape, 1)).T
    return float((far[rows, columns] <= tolerance).mean())


def is_difficult(image: ObjectImage, category: str, mask: np.ndarray, single: bool) -> bool:
    """Whether the category's objects, whose union is `mask`, cover less than a quarter of the image, and it
    shows another category too.

    `single`: the data knows one category for each image, so that only the first condition can be asked.
    """
    small = bool(mask.mean() < SMALL)
    return small and (single or any(other != category for other in image.categories))


@dataclass(frozen=True)
class Asked:
    """What came of one question to one method: how far the map of the category hits, and that of a class
    which is not in the image."""

    category: str
    hit: float
    wrong_hit: float
    difficult: bool


def accuracies(asked: Mapping[str, Sequence[Asked]]) -> dict[str, float]:
    """The share of hits of each category; `asked`: questions by image."""
    by_category: dict[str, list[float]] = {}
    for questions in asked.values():
        for one in questions:
            by_category.setdefault(one.category, []).append(one.hit)
    return {category: float(np.mean(hits)) for category, hits in sorted(by_category.items())}
