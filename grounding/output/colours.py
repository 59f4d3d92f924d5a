"""The colours and sizes in which page and figure draw heat maps."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.models.photos import Photo

# Evidence 0..1 -> red, green, blue, opacity (0..255). Lightness rises steadily, as in Matplotlib's "inferno"
# without its black end; opacity starts at zero, so that the photo is visible where there is no evidence.
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


# On white, more evidence must be darker; on a photo it is lighter.
PAPER_STOPS: Stops = (
    (0.00, 255, 247, 200, 0),
    (0.08, 255, 238, 170, 110),
    (0.25, 254, 217, 118, 215),
    (0.45, 253, 174, 80, 240),
    (0.65, 249, 126, 62, 250),
    (0.85, 233, 74, 48, 255),
    (1.00, 205, 30, 45, 255),
)


@dataclass(frozen=True)
class Look:
    """Colours of the evidence, and the CSS blend mode by which they are mixed with the picture."""

    blend: str
    stops: Stops


PHOTO = Look("normal", HEAT_STOPS)

PAPER = Look("multiply", PAPER_STOPS)  # dark strokes on light paper

BOARD = Look("screen", HEAT_STOPS)  # light strokes on a dark board

NEARLY = 20  # of 255: the largest distance of most of a drawing from white or black

EMPTY = 0.6  # the smallest fraction of a drawing that is empty


def look_of(photo: Photo) -> Look:
    """Choose the look of a picture; a drawing is mostly empty: nearly white (`PAPER`) or nearly black
    (`BOARD`)."""
    grey = np.asarray(Image.fromarray(np.asarray(photo.pixels, np.uint8)).convert("L"))
    if (grey >= 255 - NEARLY).mean() >= EMPTY:
        return PAPER
    return BOARD if (grey <= NEARLY).mean() >= EMPTY else PHOTO


def blended(picture: Image.Image, heat: np.ndarray, look: Look = PHOTO, strength: float = 1.0) -> Image.Image:
    """Blend a picture with heat; a photo is made paler, a drawing is not.

    Args:
        picture: RGB.
        heat: uint8 [any rows, any columns] over the whole picture.
        strength: the strength of the heat, 0 to 1.
    """
    base = paler(picture) if look is PHOTO else picture
    level = Image.fromarray(heat).resize(picture.size, Image.Resampling.BILINEAR)
    *channels, opacity = (level.point(channel) for channel in heat_colours(look.stops).T.tolist())
    colour = Image.merge("RGB", channels)
    if look.blend == "multiply":
        colour = ImageChops.multiply(base, colour)
    elif look.blend == "screen":
        colour = ImageChops.screen(base, colour)
    return Image.composite(colour, base, opacity.point(lambda value: strength * value))


def paler(picture: Image.Image) -> Image.Image:
    """Reduce colour and light of an RGB photo, so that evidence stands out."""
    grey = 0.88 * 0.4 / 3  # of each channel: 0.4 parts of grey are mixed with 0.6 parts of colour
    rows = [[grey + 0.88 * 0.6 * (channel == own) for channel in range(3)] + [0.0] for own in range(3)]
    return picture.convert("RGB", tuple(weight for row in rows for weight in row))


MAX_POINTS = 4000  # more points can neither be distinguished nor be drawn fast


@functools.cache
def heat_colours(stops: Stops = HEAT_STOPS) -> np.ndarray:
    """The colours for evidence 0, 1/255, ..., 1: red, green, blue and opacity, uint8 [256, 4]."""
    table = np.array(stops)
    levels = np.linspace(0, 1, 256)
    channels = [np.interp(levels, table[:, 0], table[:, channel]) for channel in range(1, 5)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def evidence_map(fixations: Fixations, longest: int) -> np.ndarray:
    """Compute a heat map at the size in which it is shown, which is much faster than at the size of a large
    photo.

    Args:
        longest: the largest length of the map's longer side in pixels.

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

    Points of equal weight are shuffled, always in the same way, so that the first of them are a fair sample.
    """
    shuffled = np.random.default_rng(0).permutation(len(fixations))
    order = np.argsort(-np.asarray(fixations.weights)[shuffled], kind="stable")
    return shuffled[order[:limit]]


def shrunk(heat: np.ndarray, longest: int) -> np.ndarray:
    """Convert a finished heat map, float [rows, columns] from 0, to the format of `evidence_map`: uint8,
    maximum 255."""
    rows, columns = heat.shape
    image = Image.fromarray(np.asarray(heat, np.float32))
    small = np.asarray(image.resize(fitted(columns, rows, longest), Image.Resampling.BOX))
    peak = float(small.max())
    return np.round(255 * small / peak if peak > 0 else small).astype(np.uint8)


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """Scale (width, height) down, never up, so that no side exceeds ``longest``; no side is below 1."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
