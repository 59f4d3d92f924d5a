"""Measure how well a map separates the pixels of an object from the others.

For each image, two histograms of the map's values are kept, inside the mask and outside it. So memory does
not grow with the size of the images. A value is a fraction of the map's maximum, and its level is
`floor(256 * sqrt(fraction))`, at most 255. The square root gives more levels to small values, which are most.
"""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LEVELS = 256


def shares(heat: np.ndarray) -> np.ndarray:
    """Divide a map, finite and non-negative, by its maximum, float64; a map of zeros stays unchanged."""
    heat = np.asarray(heat, np.float64)
    if not np.isfinite(heat).all() or (heat < 0).any():
        raise ValueError("a map must be finite and non-negative")
    return heat / (heat.max() or 1.0)


def threshold(level: int) -> float:
    """The smallest fraction of a map's maximum that has this level."""
    return (level / LEVELS) ** 2


def absolute_error(heat: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute error of a map, scaled to 0..1 by its maximum, against a mask, both [height, width].

    Source: Perazzi et al. 2012, *Saliency Filters*, section 4.2."""
    return float(np.abs(shares(heat) - mask).mean())


@dataclass(frozen=True)
class Scores:
    """Scores of pixels in 0..1; F is the harmonic mean of precision and recall (beta 1).

    Precision is 0 if no pixel is found, and recall is 0 if there is no object.
    """

    accuracy: float
    precision: float
    recall: float
    f: float
    iou: float

    @classmethod
    def of(cls, found: float, hits: float, objects: float, pixels: float) -> "Scores":
        """Compute scores from counts of pixels: found, found on an object, on an object, and all."""
        union = found + objects - hits
        return cls(
            accuracy=(pixels - union + hits) / pixels,
            precision=hits / found if found else 0.0,
            recall=hits / objects if objects else 0.0,
            f=2 * hits / (found + objects) if found + objects else 0.0,
            iou=hits / union if union else 0.0,
        )


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """The number of pixels of each level: int64 [256] inside the objects and outside them."""

    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, heat: np.ndarray, mask: np.ndarray) -> "PixelCounts":
        """Count a map float [height, width], finite and non-negative, on a mask bool [height, width]."""
        if heat.shape != mask.shape:
            raise ValueError(f"expected a map and a mask of one size, got {heat.shape} and {mask.shape}")
        levels = np.minimum((LEVELS * np.sqrt(shares(heat))).astype(np.int64), LEVELS - 1)
        return cls(np.bincount(levels[mask], minlength=LEVELS), np.bincount(levels[~mask], minlength=LEVELS))

    @classmethod
    def total(cls, counts: Iterable["PixelCounts"]) -> "PixelCounts":
        """Add the counts of several images."""
        inside, outside = np.zeros(LEVELS, np.int64), np.zeros(LEVELS, np.int64)
        for one in counts:
            inside, outside = inside + one.inside, outside + one.outside
        return cls(inside, outside)

    @property
    def pixels(self) -> int:
        return int(self.inside.sum() + self.outside.sum())

    def scores(self, level: int) -> Scores:
        """Compute the scores if the pixels of this level and above are found."""
        hits, misses = int(self.inside[level:].sum()), int(self.outside[level:].sum())
        return Scores.of(hits + misses, hits, int(self.inside.sum()), self.pixels)

    def equal_error_precision(self) -> float | None:
        """Precision at the threshold where it equals recall (*CNN Fixations*, IEEE TIP 2018, Table II).

        There, as many pixels are found as belong to objects. None without objects. Pixels of one level have
        no order, so a part of them has their mean fraction of hits. A uniform map reaches the fraction of the
        area.
        """
        objects = int(self.inside.sum())
        if not objects:
            return None
        hits = np.concatenate([[0], np.cumsum(self.inside[::-1])])
        found = hits + np.concatenate([[0], np.cumsum(self.outside[::-1])])
        return float(np.interp(objects, found, hits)) / objects

    def average_precision(self) -> float | None:
        """The area under the curve of precision over recall, whose thresholds are the levels.

        As `gazeback.eval.metrics.maps.average_precision`, for maps without two values on one level. None
        without objects.
        """
        hits = np.cumsum(self.inside[::-1])
        if not hits[-1]:
            return None
        found = hits + np.cumsum(self.outside[::-1])
        return float(np.sum(self.inside[::-1] * hits / np.maximum(found, 1)) / hits[-1])

    def packed(self) -> str:
        """Encode as text: base64 of zlib of both histograms, uint32, one after the other, little-endian."""
        both = np.concatenate([self.inside, self.outside]).astype("<u4")
        return base64.b64encode(zlib.compress(both.tobytes())).decode()

    @classmethod
    def unpacked(cls, text: str) -> "PixelCounts":
        """Decode what `packed` returned."""
        both = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").astype(np.int64)
        return cls(both[:LEVELS], both[LEVELS:])
