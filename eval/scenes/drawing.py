"""Draw shapes with smooth edges, by supersampling, and the textured ground behind them."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

SUBPIXELS = 4
"""Samples per pixel and axis. The fraction of samples inside a shape is the fraction of the pixel that it
covers."""

REACH = 1.2
"""The largest distance of a shape's points from its centre, in radii."""

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""For each shape, whether points (down, right of the centre, in units of the radius) lie in it: bool, one per
point."""


def _circle(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    return down**2 + right**2 <= 0.93**2


def _square(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(down), np.abs(right)) <= 0.82


def _triangle(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (down <= 0.73) & (down >= 2 * np.abs(right) - 1.15)


def _diamond(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.abs(down) + 1.35 * np.abs(right) <= 1.15


def _cross(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    short, long = np.sort(np.abs([down, right]), axis=0)
    return (short <= 0.36) & (long <= 1)


def _star(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A star with five tips, one of them up; the edge is straight from a tip to the next inner corner."""
    tenth, inner, tip = np.pi / 5, 0.55, 1.15
    radius, angle = np.hypot(down, right), np.arctan2(right, -down)
    from_tip = np.abs((angle + tenth) % (2 * tenth) - tenth)
    # The line through (tip, 0) and inner * (cos, sin)(36 degrees), in polar coordinates.
    along, across = inner * np.cos(tenth) - tip, inner * np.sin(tenth)
    return radius * (across * np.cos(from_tip) - along * np.sin(from_tip)) <= across * tip


SHAPES: dict[str, Inside] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "cross": _cross,
    "star": _star,
}


def coverage(shape: str, row: float, column: float, radius: float, angle: float, side: int) -> np.ndarray:
    """Compute the fraction of each pixel that a shape covers: float32 ``[side, side]``, 0 to 1.

    ``row``, ``column`` and ``radius`` are in pixels; the centre of the upper left pixel is (0.5, 0.5).
    ``angle`` is in radians, clockwise.
    """
    covered = np.zeros((side, side), np.float32)
    rows, columns = (_near(middle, radius, side) for middle in (row, column))
    down, right = np.meshgrid(*map(_samples, (rows, columns)), indexing="ij")
    down, right = (down - row) / radius, (right - column) / radius
    turned = down * np.cos(angle) - right * np.sin(angle), right * np.cos(angle) + down * np.sin(angle)
    blocks = (rows.stop - rows.start, SUBPIXELS, columns.stop - columns.start, SUBPIXELS)
    covered[rows, columns] = SHAPES[shape](*turned).reshape(blocks).mean(axis=(1, 3), dtype=np.float32)
    return covered


def _near(middle: float, radius: float, side: int) -> slice:
    """The rows or columns of pixels that a shape can reach."""
    first, last = int(middle - REACH * radius), int(middle + REACH * radius) + 1
    return slice(max(first, 0), min(last, side))


def _samples(pixels: slice) -> np.ndarray:
    return (np.arange(pixels.start * SUBPIXELS, pixels.stop * SUBPIXELS) + 0.5) / SUBPIXELS


def textured_ground(random: np.random.Generator, side: int) -> np.ndarray:
    """Draw coarse and fine noise in brownish grey: float32 ``[side, side, 3]``, RGB, 0 to 255."""
    tint = random.uniform(105, 150) + random.uniform(-12, 12, 3)
    coarse, fine = (
        gaussian_filter(random.standard_normal((side, side), np.float32), blur, mode="wrap") * blur * strength
        for blur, strength in ((side / 14, random.uniform(15, 45)), (1.0, random.uniform(10, 30)))
    )
    grain = 4 * random.standard_normal((side, side, 3), np.float32)
    return np.clip(tint + (coarse + fine)[..., None] + grain, 0, 255).astype(np.float32)
