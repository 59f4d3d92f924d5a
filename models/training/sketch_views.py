"""Random views of a sketch for training: flipped, rotated, shifted, warped, with thinner or thicker
strokes."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gazeback.models.classifiers.strokes import (
    Strokes,
    drawing_area,
    ink,
    stretched,
    thickened,
)
from gazeback.models.photos import Photo

DEGREES = 15.0  # largest rotation
SIZES = (0.75, 1.05)  # of the drawing in its frame
SHIFT = 0.06  # of the frame's side
WARP = 0.08  # how far a corner of the frame moves, as a fraction of the side
OVERSAMPLING = 2


@dataclass(frozen=True)
class Drawing:
    """A drawing cut out of its photo, 8-bit ink, at every thickness that a view may have."""

    by_dilations: tuple[Image.Image, ...]

    @classmethod
    def of(cls, photo: Photo, most_dilations: int) -> "Drawing":
        strokes = ink(photo)
        top, left, height, width = drawing_area(strokes)
        cut = np.rint(strokes[top : top + height, left : left + width] * 255).astype(np.uint8)
        image = Image.fromarray(cut)
        return cls(tuple(thickened(image, dilations) for dilations in range(most_dilations + 1)))

    def view(self, style: Strokes, random: np.random.Generator) -> np.ndarray:
        """A random view: float32 ``[height, width]``, ink 0..1."""
        image = self.by_dilations[random.integers(len(self.by_dilations))]
        size = (style.width * OVERSAMPLING, style.height * OVERSAMPLING)
        room = 1 - 2 * style.margin / min(style.height, style.width)
        corners = _corners(image.size, room, random).ravel().tolist()
        moved = image.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
        return stretched(np.asarray(moved.reduce(OVERSAMPLING), np.float32) / 255)


def _corners(size: tuple[int, int], room: float, random: np.random.Generator) -> np.ndarray:
    """The frame's corners (top left, bottom left, bottom right, top right) in the drawing: float ``[4, 2]``
    (x, y).

    ``room`` is the fraction of the frame's side that an unchanged drawing fills.
    """
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], float)
    corners += random.uniform(-2 * WARP, 2 * WARP, (4, 2)) + random.uniform(-2 * SHIFT, 2 * SHIFT, 2)
    if random.random() < 0.5:
        corners[:, 0] *= -1
    angle = np.deg2rad(random.uniform(-DEGREES, DEGREES))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half_side = max(size) / 2 / (room * random.uniform(*SIZES))
    return corners @ turn * half_side + np.array(size) / 2
