"""Random views of a training photo: the photo itself, its mirror image, and random crops with changed
light."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from gazeback.models.photos import load_photo

SMALLEST_CROP = 0.75
LIGHT = 0.2


def view(path: Path, number: int, size: int, seed: int) -> np.ndarray:
    """Return view ``number`` of a photo as uint8 ``[size, size, 3]``: 0 is the photo, 1 its mirror image.

    Views from 2 on are crops that keep at least 75 % of each side, every other one mirrored, with brightness,
    contrast and colour changed by up to 20 %. The same photo, number and seed give the same view.
    """
    photo = Image.fromarray(load_photo(path).pixels)
    if number >= 2:
        photo = _changed(photo, np.random.default_rng([seed, number, *os.fsencode(path.name)]))
    if number % 2 == 1:
        photo = ImageOps.mirror(photo)
    if photo.size != (size, size):
        photo = photo.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(photo)


def _changed(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = photo.size
    crop_width, crop_height = (side * random.uniform(SMALLEST_CROP, 1.0) for side in photo.size)
    left, top = random.uniform(0, width - crop_width), random.uniform(0, height - crop_height)
    photo = photo.crop((round(left), round(top), round(left + crop_width), round(top + crop_height)))
    for enhancement in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        photo = enhancement(photo).enhance(random.uniform(1 - LIGHT, 1 + LIGHT))
    return photo
