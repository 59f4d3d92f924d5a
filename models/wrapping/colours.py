"""Represent a preprocessing function by a matrix and an offset of the colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.wrapping.pictures import ImageInput

CLOSE = 1e-5
"""How far from the function its numbers may be, relative to the largest value."""


@dataclass(frozen=True)
class Colours:
    """``pixels @ matrix + offset``, as the functions of ``keras.applications`` compute.

    Attributes:
        matrix: float32 ``[3, channels]``; ``offset``: float32 ``[channels]``.
    """

    matrix: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, image_input: ImageInput) -> Colours:
        """Find the matrix and the offset of a user's function.

        Raises:
            ModelError: the function does more than scale, mix and shift the colours of each pixel.
        """
        rng = np.random.default_rng(0)
        images = rng.uniform(0, 255, (2, *image_input.size, 3)).astype(np.float32)
        found = image_input(images)
        ones = np.ones((images[..., 0].size, 1))
        pixels = np.column_stack([images.reshape(-1, 3).astype(np.float64), ones])
        solved = np.linalg.lstsq(pixels, found.reshape(len(pixels), -1).astype(np.float64), rcond=None)[0]
        solved = np.where(np.abs(solved) < 1e-7 * np.abs(solved).max(), 0, solved).astype(np.float32)
        numbers = cls(solved[:3], solved[3])
        if np.abs(numbers(images) - found).max() > CLOSE * max(1.0, float(np.abs(found).max())):
            raise ModelError(
                "preprocess: it does more than scale and shift the colours of each pixel, and a file holds "
                "no code; give a function that returns the captioner, --model package.module:function"
            )
        return numbers

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images ``[n, h, w, 3]``, RGB 0..255, as the encoder reads them."""
        return np.asarray(images, np.float32) @ self.matrix + self.offset
