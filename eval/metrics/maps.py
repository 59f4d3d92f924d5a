"""Measure how well maps point at boxes.

Boxes are `[x, y, w, h]` with the origin at the top left corner and fractional pixels. Pixel (row, column) is
the unit square with its centre at (column + 0.5, row + 0.5), and belongs to a box if its centre does. The
left and upper edges of a box belong to it, the right and lower edges do not. So boxes with a common edge have
no common pixel.
"""

from collections.abc import Iterable, Sequence

import numpy as np

Box = Sequence[float]


def boxes_mask(boxes: Iterable[Box], height: int, width: int) -> np.ndarray:
    """The union of boxes `[x, y, w, h]` (pixels) as bool [height, width]; parts outside are clipped."""
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    mask = np.zeros((height, width), bool)
    for x, y, w, h in boxes:
        mask |= np.outer((rows >= y) & (rows < y + h), (columns >= x) & (columns < x + w))
    return mask


def _flat(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or masks.ndim != 3 or maps.shape[1:] != masks.shape[1:]:
        raise ValueError(f"expected maps [n, H, W] and masks [m, H, W], got {maps.shape} and {masks.shape}")
    if not np.isfinite(maps).all() or (maps < 0).any():
        raise ValueError("a map must be finite and non-negative")
    return maps.reshape(len(maps), -1), masks.reshape(len(masks), -1).astype(np.float32)


def pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pointing game (Zhang et al. 2018, section 4.1) without tolerance: whether the maximum lies in the mask.

    `maps`: float [n, H, W], non-negative; `masks`: bool [m, H, W]. Returns float [n, m], every map on every
    mask: 1 or 0. If several pixels have the maximum, it is the fraction of them inside. A map of zeros gets
    0.
    """
    flat, inside = _flat(maps, masks)
    maxima = ((flat == flat.max(axis=1, keepdims=True)) & (flat > 0)).astype(np.float32)
    return (maxima @ inside.T) / np.maximum(maxima.sum(axis=1, keepdims=True), 1)


def energy_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Energy-based pointing game (Wang et al. 2020, Score-CAM, section 4.3): the fraction of the map's sum in
    the mask.

    `maps`: float [n, H, W], non-negative; `masks`: bool [m, H, W]. Returns float [n, m] in 0..1, every map on
    every mask. A map of zeros gets 0.
    """
    flat, inside = _flat(maps, masks)
    # a map's scale does not matter, and sums of tiny values would underflow
    flat = flat.astype(np.float64) / np.maximum(flat.max(axis=1, keepdims=True), np.finfo(float).tiny)
    total = flat.sum(axis=1, keepdims=True)
    return (flat @ inside.T) / np.where(total > 0, total, 1)


def average_precision(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Average precision of the pixels inside the mask, ranked by the map (PxAP of Choe et al. 2020, but of
    each map alone): the mean, over the pixels inside, of the precision of all pixels with at least their
    value.

    Only the order of the values matters. Equal values share one threshold, so a uniform map gets the fraction
    of the area.

    `maps`: float [n, H, W], non-negative; `masks`: bool [n, H, W], in the same order, none of them empty.
    Returns float [n] in 0..1.
    """
    flat, inside = _flat(maps, masks)
    found = []
    for heat, is_inside in zip(flat, inside.astype(bool), strict=True):
        values, hits = np.sort(heat), np.sort(heat[is_inside])
        reached = [len(ranked) - np.searchsorted(ranked, hits) for ranked in (hits, values)]
        found.append(np.mean(reached[0] / reached[1]))
    return np.array(found)


def ious(maps: np.ndarray, masks: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Compute the IoU of each map's region above each threshold (a fraction of its maximum) with its mask.

    `maps`: float [n, H, W], non-negative; `masks`: bool [n, H, W], in the same order. Returns float
    [n, thresholds]; a map of zeros has no region and gets 0.
    """
    peak = maps.max(axis=(1, 2))
    overlaps = np.zeros((len(maps), len(thresholds)))
    for column, threshold in enumerate(thresholds):
        region = (maps >= (threshold * peak)[:, None, None]) & (peak > 0)[:, None, None]
        both, either = (region & masks).sum(axis=(1, 2)), (region | masks).sum(axis=(1, 2))
        overlaps[:, column] = both / np.maximum(either, 1)
    return overlaps
