"""Remove the pixels that a map points at.

Fractions are of all pixels of the photo as the captioner reads it. Removed pixels show the blurred photo,
which adds neither a colour nor an outline (Fong and Vedaldi, ICCV 2017, section 4.2).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

BLUR = 10 / 224
"""The blur that replaces removed pixels, as a fraction of the photo's side (as in Fong and Vedaldi)."""

NEAR = 1 / 16
"""The blur by which pixels of equal value are ranked, as a fraction of the side: pixels near strong ones come
first."""

BLOB = 1 / 5
"""The blur of the noise whose peaks are random blobs, as a fraction of the side. It is wide, so that the
blobs are as few and as large as the regions of a map."""


def strongest(heat: np.ndarray, share: float) -> np.ndarray:
    """Mark the strongest pixels of a map float [H, W]: bool [H, W], exactly the rounded fraction of all
    pixels.

    Among equal values, as in a map's empty regions, pixels near strong ones come first.
    """
    blurred = gaussian_filter(heat.astype(np.float64), NEAR * max(heat.shape))
    order = np.lexsort((-blurred.ravel(), -heat.ravel()))
    inside = np.zeros(heat.size, bool)
    inside[order[: round(share * heat.size)]] = True
    return inside.reshape(heat.shape)


def random_blobs(shape: Sequence[int], name: str, draw: int) -> np.ndarray:
    """A map float [H, W] of smooth random blobs; a photo's name and a draw always give the same map."""
    digest = hashlib.sha256(f"{name} {draw}".encode()).digest()
    noise = np.random.default_rng(list(digest)).normal(size=tuple(shape))
    # wrapped around, so that all locations are equally likely
    smooth = gaussian_filter(noise, BLOB * max(shape), mode="wrap")
    return np.asarray(smooth - smooth.min())


def disc(shape: Sequence[int]) -> np.ndarray:
    """A map float [H, W] that decreases with the distance from the middle: its strongest pixels are a
    disc."""
    height, width = shape
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    distance = np.hypot(rows[:, None], columns[None])
    return np.asarray(distance.max() - distance)


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Blur a photo float32 [H, W, 3]."""
    side = BLUR * max(pixels.shape[:2])
    return np.asarray(gaussian_filter(pixels, (side, side, 0), mode="nearest"), np.float32)


def removed(pixels: np.ndarray, stand_in: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Replace the pixels of each mask bool [n, H, W] by those of the stand-in [H, W, 3]: photos [n, H, W,
    3]."""
    return np.where(masks[..., None], stand_in, pixels).astype(np.float32)
