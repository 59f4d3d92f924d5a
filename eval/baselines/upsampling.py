"""Upsample maps from a layer's resolution to the image's."""

from __future__ import annotations

import numpy as np


def upsampled(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Upsample maps [n, h, w] to [n, height, width] bilinearly, pixel centres aligned, edges repeated."""
    rows, columns = _bilinear(maps.shape[1], height), _bilinear(maps.shape[2], width)
    return np.einsum("yh,nhw,xw->nyx", rows, maps, columns, optimize=True)


def _bilinear(old: int, new: int) -> np.ndarray:
    """Compute the weights float32 [new, old] of linear interpolation."""
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(1 - np.abs(centres[:, None] - np.arange(old)), 0).astype(np.float32)
