"""How well a map tells the pixels of an object from the others.

All that the figures need of an image is kept in two histograms, of the map's values inside the mask and
outside it, so that memory does not grow with the images' size. A value is a share of the map's maximum, and
its level is `floor(256 * sqrt(share))`, at most 255: most values are small, and so are told apart better.
"""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LEVELS = 256


def shares(heat: np.ndarray) -> np.ndarray:
    """A map, finite and nowhere negative, as shares of its maximum, float64; a map of zeros stays one."""
    heat = np.asarray(heat, np.float64)
    if not np.isfinite(heat).all() or (heat < 0).any():
        raise ValueError("a map must be finite and nowhere negative")
    return heat / (heat.max() or 1.0)


def threshold(level: int) -> float:
    """The smallest share of a map's maximum that has this level."""
    return (level / LEVELS) ** 2


def absolute_error(heat: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute error (Perazzi et al. 2012, *Saliency Filters*, section 4.2) of a map, scaled to 0..1 by
    its maximum, against a mask, both [height, width]."""
    return float(np.abs(shares(heat) - mask).mean())


@dataclass(frozen=True)
class Scores:
    """Shares in 0..1 of pixels that are told right; F is the harmonic mean of precision and recall (beta 1).

    Where nothing is found precision is 0, and where there is no object recall is.
    """

    accuracy: float
    precision: float
    recall: float
    f: float
    iou: float

    @classmethod
    def of(cls, found: float, hits: float, objects: float, pixels: float) -> "Scores":
        """From counts of pixels: found, those of them on an object, those of objects, and all."""
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
    """How many pixels have each level: int64 [256] inside the objects and outside them."""

    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, heat: np.ndarray, mask: np.ndarray) -> "PixelCounts":
        """A map float [height, width], finite and nowhere negative, on a mask bool [height, width]."""
        if heat.shape != mask.shape:
            raise ValueError(f"expected a map and a mask of one size, got {heat.shape} and {mask.shape}")
        levels = np.minimum((LEVELS * np.sqrt(shares(heat))).astype(np.int64), LEVELS - 1)
        return cls(np.bincount(levels[mask], minlength=LEVELS), np.bincount(levels[~mask], minlength=LEVELS))

    @classmethod
    def total(cls, counts: Iterable["PixelCounts"]) -> "PixelCounts":
        """All pixels of several images together."""
        inside, outside = np.zeros(LEVELS, np.int64), np.zeros(LEVELS, np.int64)
        for one in counts:
            inside, outside = inside + one.inside, outside + one.outside
        return cls(inside, outside)

    @property
    def pixels(self) -> int:
        return int(self.inside.sum() + self.outside.sum())

    def scores(self, level: int) -> Scores:
        """What is found is what has this level or a higher one."""
        hits, misses = int(self.inside[level:].sum()), int(self.outside[level:].sum())
        return Scores.of(hits + misses, hits, int(self.inside.sum()), self.pixels)

    def equal_error_precision(self) -> float | None:
        """Precision at the threshold at which it equals recall (*CNN Fixations*, IEEE TIP 2018, Table II):
        where as many pixels are found as belong to objects. None without objects.

        Pixels of one level are found in no order, so that a part of them has their mean share of hits; an
        even map reaches the share of the area.
        """
        objects = int(self.inside.sum())
        if not objects:
            return None
        hits = np.concatenate([[0], np.cumsum(self.inside[::-1])])
        found = hits + np.concatenate([[0], np.cumsum(self.outside[::-1])])
        return float(np.interp(objects, found, hits)) / objects

    def packed(self) -> str:
        """As text: base64 of zlib of both histograms, uint32, one after the other, the lowest byte first."""
        both = np.concatenate([self.inside, self.outside]).astype("<u4")
        return base64.b64encode(zlib.compress(both.tobytes())).decode()

    @classmethod
    def unpacked(cls, text: str) -> "PixelCounts":
        """Back from `packed`."""
        both = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").astype(np.int64)
        return cls(both[:LEVELS], both[LEVELS:])
