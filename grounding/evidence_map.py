"""A word's heat map as page and figure draw it: small, and in one set of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations

# Evidence 0..1 -> red, green, blue, opacity (0..255). Lightness rises steadily, as in Matplotlib's "inferno"
# without its black end; opacity starts at zero, so that the photo stays visible where there is no evidence.
HEAT_STOPS: tuple[tuple[float, int, int, int, int], ...] = (
    (0.00, 66, 10, 104, 0),
    (0.08, 84, 15, 109, 40),
    (0.25, 147, 38, 103, 135),
    (0.45, 203, 65, 73, 165),
    (0.65, 238, 105, 37, 185),
    (0.85, 251, 176, 52, 195),
    (1.00, 252, 240, 150, 210),
)


def heat_colours() -> np.ndarray:
    """uint8 [256, 4]: red, green, blue and opacity for evidence 0, 1/255, ..., 1."""
    stops = np.array(HEAT_STOPS)
    levels = np.linspace(0, 1, 256)
    channels = [np.interp(levels, stops[:, 0], stops[:, channel]) for channel in range(1, 5)]
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


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) scaled down, never up, so that no side exceeds ``longest``; no side below 1."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
