"""A word's heat map as page and figure draw it: small, and in one set of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations

# Evidence 0..1 -> red, green, blue, opacity (0..255). Lightness rises steadily, as in Matplotlib's "inferno"
# without its black end; opacity starts at zero, so that the photo stays visible where there is no evidence.
Stops = tuple[tuple[float, int, int, int, int], ...]
HEAT_STOPS: Stops = (
    (0.00, 66, 10, 104, 0),
    (0.08, 84, 15, 109, 40),
    (0.25, 147, 38, 103, 135),
    (0.45, 203, 65, 73, 165),
    (0.65, 238, 105, 37, 185),
    (0.85, 251, 176, 52, 195),
    (1.00, 252, 240, 150, 210),
)


MAX_POINTS = 4000  # more are neither told apart nor quickly drawn


def heat_colours(stops: Stops = HEAT_STOPS) -> np.ndarray:
    """uint8 [256, 4]: red, green, blue and opacity for evidence 0, 1/255, ..., 1."""
    table = np.array(stops)
    levels = np.linspace(0, 1, 256)
    channels = [np.interp(levels, table[:, 0], table[:, channel]) for channel in range(1, 5)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def evidence_map(fixations: Fixations, longest: int) -> np.ndarray:
    """The heat map, made at once at the size in which it is shown: a large photo's takes a second, this none.

    Args:
        longest: pixels of the map's longer side, at most.

    Returns:
        uint8 [rows, columns] over the whole photo, maximum 255; all zero without points.
    """
    height, width = fixations.shape
    columns, rows = fitted(width, height, longest)
    scale = (rows / height, columns / width)
    small = fixations.mapped(lambda points: (points + 0.5) * scale - 0.5, (rows, columns)).heatmap()
    return np.round(255 * small).astype(np.uint8)


def strongest_first(fixations: Fixations, limit: int = MAX_POINTS) -> np.ndarray:
    """The order in which points are drawn: int [n], n at most `limit`.

    Points of equal weight come in any order, always the same, so that a part of them is a fair sample.
    """
    shuffled = np.random.default_rng(0).permutation(len(fixations))
    order = np.argsort(-np.asarray(fixations.weights)[shuffled], kind="stable")
    return shuffled[order[:limit]]


def shrunk(heat: np.ndarray, longest: int) -> np.ndarray:
    """A finished heat map, float [rows, columns] from 0, as `evidence_map` gives one: uint8, maximum 255."""
    rows, columns = heat.shape
    image = Image.fromarray(np.asarray(heat, np.float32))
    small = np.asarray(image.resize(fitted(columns, rows, longest), Image.Resampling.BOX))
    peak = float(small.max())
    return np.round(255 * small / peak if peak > 0 else small).astype(np.uint8)


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) scaled down, never up, so that no side exceeds ``longest``; no side below 1."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
