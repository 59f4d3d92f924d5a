"""How heat lies on a picture: over a photo, or under the strokes of a drawing, which stay visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gazeback.grounding.evidence_map import HEAT_STOPS, Stops, heat_colours

if TYPE_CHECKING:
    from gazeback.models.photos import Photo

# On white the colours must grow darker with the evidence, where on a photo they grow lighter.
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
    """Colours of the evidence, and how they mix with the picture: a CSS blend mode."""

    blend: str
    stops: Stops


PHOTO = Look("normal", HEAT_STOPS)
PAPER = Look("multiply", PAPER_STOPS)  # dark strokes on light paper
BOARD = Look("screen", HEAT_STOPS)  # light strokes on a dark board
NEARLY = 20  # of 255: how far most of a drawing is from white, or from black, at most
EMPTY = 0.6  # the share of a drawing, at least, on which nothing is drawn


def look_of(photo: Photo) -> Look:
    """A drawing is what is empty in most places: nearly white (`PAPER`) or nearly black (`BOARD`)."""
    grey = np.asarray(Image.fromarray(np.asarray(photo.pixels, np.uint8)).convert("L"))
    if (grey >= 255 - NEARLY).mean() >= EMPTY:
        return PAPER
    return BOARD if (grey <= NEARLY).mean() >= EMPTY else PHOTO


def blended(pixels: np.ndarray, heat: np.ndarray, look: Look = PHOTO, strength: float = 1.0) -> np.ndarray:
    """uint8 [rows, columns, 3]: a picture with heat on it; a photo is made paler, a drawing is not.

    Args:
        pixels: float [rows, columns, 3], RGB, 0 to 255.
        heat: uint8 [any rows, any columns] over the whole picture.
        strength: of the heat, 0 to 1.
    """
    base = paler(pixels) if look is PHOTO else pixels
    size = (pixels.shape[1], pixels.shape[0])
    level = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR))
    colours = heat_colours(look.stops)[level].astype(np.float32)
    colour, opacity = colours[..., :3], colours[..., 3:] / 255 * strength
    if look.blend == "multiply":
        colour = base * colour / 255
    elif look.blend == "screen":
        colour = 255 - (255 - base) * (255 - colour) / 255
    return (base * (1 - opacity) + colour * opacity).round().astype(np.uint8)


def paler(pixels: np.ndarray) -> np.ndarray:
    """A photo with less colour and light, so that evidence stands out: float [rows, columns, 3]."""
    grey = pixels.mean(axis=-1, keepdims=True)
    return 0.88 * (0.4 * grey + 0.6 * pixels)
