"""Corrupt photos: blur, noise, JPEG."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from gazeback.eval.perturbations.occlusion import seeded
from gazeback.models.photos import Photo

SIDE = 224
"""Blurs are in pixels of a photo whose shorter side has this length."""

Corruption = Callable[[Photo], Photo]


def blur(sigma: float) -> Corruption:
    """Blur by a Gaussian; `sigma` is in pixels of a photo with a shorter side of 224."""

    def corrupted(photo: Photo) -> Photo:
        width = sigma * min(photo.height, photo.width) / SIDE
        smooth = gaussian_filter(photo.pixels.astype(np.float32), (width, width, 0), mode="nearest")
        return Photo(_as_bytes(smooth), photo.name)

    return corrupted


def noise(deviation: float) -> Corruption:
    """Add normal noise to every value; `deviation` is on the scale of 255, and the photo's name is the
    seed."""

    def corrupted(photo: Photo) -> Photo:
        drawn = seeded(photo.name).normal(0, deviation, photo.pixels.shape)
        return Photo(_as_bytes(photo.pixels + drawn), photo.name)

    return corrupted


def jpeg(quality: int) -> Corruption:
    """Compress as JPEG and decode again."""

    def corrupted(photo: Photo) -> Photo:
        file = BytesIO()
        Image.fromarray(photo.pixels).save(file, "JPEG", quality=quality)
        return Photo(np.asarray(Image.open(file).convert("RGB")), photo.name)

    return corrupted


CORRUPTIONS: dict[str, Corruption] = {
    "blur 1": blur(1),
    "blur 3": blur(3),
    "noise 15": noise(15),
    "noise 40": noise(40),
    "jpeg 30": jpeg(30),
    "jpeg 8": jpeg(8),
}
"""The corruptions. blur: sigma in pixels at 224; noise: standard deviation on the scale of 255; jpeg:
quality."""


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
