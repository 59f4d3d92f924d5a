"""Change photos at the pixels that a map points at: keep a box, delete and insert pixels, occlude boxes.

Removed pixels get the photo's mean colour. Maps are float [H, W], photos float32 [H, W, C] as the model reads
them, boxes `[x, y, w, h]` in pixels.
"""

import hashlib

import numpy as np
from scipy.ndimage import gaussian_filter

from gazeback.eval.metrics.maps import Box, boxes_mask

STEPS = 20
"""The number of steps of deletion and insertion."""

TIE_BLUR = 0.15
"""The blur by which ties in a map are broken, as a fraction of the diagonal."""

TIE_BLOCKS = 14

GRID = 28
"""The number of boxes of box occlusion along each side."""

OCCLUDED = 0.3
"""The fraction of the boxes that box occlusion covers."""

BLUR_SIGMA, BLUR_TAPS, BLUR_SIDE = 5, 11, 224
"""The blur of RISE: a Gaussian of sigma 5 cut off to 11 x 11 taps, for photos of 224 x 224."""


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    """The mean colour of a photo, float32 [C]."""
    return np.asarray(pixels, np.float32).mean(axis=(0, 1))


def blurred_photo(pixels: np.ndarray) -> np.ndarray:
    """The photo from which insertion starts (RISE, section 4.2 and the authors' code), float32 [H, W, C]."""
    sigma = BLUR_SIGMA * min(pixels.shape[:2]) / BLUR_SIDE
    reach = BLUR_TAPS // 2 / BLUR_SIGMA
    return gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="nearest", truncate=reach)


def box_kept(pixels: np.ndarray, box: Box) -> tuple[np.ndarray, float]:
    """Occlude everything outside a box; returns the photo and the fraction of its area that is kept.

    Yang et al., *Layer-wise selected discernible neurons*, section 4.1.2.
    """
    kept = boxes_mask([box], *pixels.shape[:2])
    return np.where(kept[..., None], pixels, mean_colour(pixels)), float(kept.mean())


def order(heat: np.ndarray) -> np.ndarray:
    """Rank the pixels of a map, int [H * W], the most relevant first.

    Equal pixels are ranked by a wide blur of the map, so that a single point grows as a disc. Pixels that are
    still equal come in a scattered order of blocks, which is the same for every map.
    """
    relevance = heat.astype(np.float64) - heat.min()
    relevance /= max(relevance.max(), np.finfo(float).tiny)
    near = gaussian_filter(relevance, TIE_BLUR * float(np.hypot(*heat.shape)), mode="nearest")
    near = np.round(near / max(near.max(), np.finfo(float).tiny), 9)
    keys = (_scattered(heat.shape).ravel(), -near.ravel(), -relevance.ravel())
    return np.lexsort(keys)  # the last key counts first


def _scattered(shape: tuple[int, ...]) -> np.ndarray:
    places = np.random.default_rng(0).permutation(TIE_BLOCKS**2).reshape(TIE_BLOCKS, TIE_BLOCKS)
    rows, columns = (np.arange(side) * TIE_BLOCKS // side for side in shape)
    scattered: np.ndarray = places[np.ix_(rows, columns)]
    return scattered


def step_by_step(start: np.ndarray, end: np.ndarray, heat: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """Change one picture into another step by step, the most relevant pixels first: float32 [steps + 1, H, W,
    C].

    Deletion goes from the photo to its mean colour, insertion from the blurred photo to the photo (Petsiuk,
    Das, Saenko, *RISE*, BMVC 2018, section 4.2).
    """
    pixels = heat.size
    rank = np.empty(pixels, int)
    rank[order(heat)] = np.arange(pixels)
    changed = np.rint(np.linspace(0, pixels, steps + 1))
    done = rank.reshape(1, *heat.shape, 1) < changed.reshape(-1, 1, 1, 1)
    return np.where(done, end, start).astype(np.float32)


def area_under(probabilities: np.ndarray) -> float:
    """Compute the area under probabilities [steps + 1] at equal distances from 0 to 1, by trapezoids."""
    return float((probabilities[1:] + probabilities[:-1]).mean() / 2)


def box_occluded(pixels: np.ndarray, heat: np.ndarray, share: float = OCCLUDED) -> np.ndarray:
    """Occlude the most relevant boxes of a grid.

    Oramas, Wang, Tuytelaars, *Visual Explanation by Interpretation*, ICLR 2019, section 4.2; boxes are used
    instead of pixels, as there, so that a scattered map has no advantage.
    """
    number = _boxes_of(heat.shape)
    count = number.max() + 1
    means = np.bincount(number.ravel(), heat.ravel()) / np.bincount(number.ravel())
    side = _side(heat.shape)
    return _covered(pixels, np.isin(number, order(means.reshape(side, side))[: round(share * count)]))


def random_occluded(pixels: np.ndarray, name: str, share: float = OCCLUDED) -> np.ndarray:
    """Occlude as many random boxes of the same grid; the photo's name is the seed."""
    number = _boxes_of(pixels.shape[:2])
    count = number.max() + 1
    drawn = seeded(name).permutation(count)[: round(share * count)]
    return _covered(pixels, np.isin(number, drawn))


def seeded(name: str) -> np.random.Generator:
    """A generator of random numbers that is seeded by an image's name."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[16:24], "big"))


def _side(shape: tuple[int, ...]) -> int:
    return min(GRID, *shape)


def _boxes_of(shape: tuple[int, ...]) -> np.ndarray:
    """The number of each pixel's box, int [H, W]."""
    side = _side(shape)
    rows, columns = (np.arange(length) * side // length for length in shape)
    number: np.ndarray = rows[:, None] * side + columns
    return number


def _covered(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], mean_colour(pixels), pixels).astype(np.float32)
