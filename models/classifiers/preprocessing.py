"""Preprocess photos for a classifier, and map points of the input back to the photo."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gazeback.models.classifiers.strokes import Strokes, fit
from gazeback.models.errors import ModelError
from gazeback.models.photos import Photo

CENTRE_CROP = 0.875  # the fraction of the shorter side that the usual resize to 256 and crop to 224 keeps
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)  # as in keras.applications
BVLC_MEAN_BGR = (104.007, 116.669, 122.677)

# (top, left, height, width) in pixels; an edge is a whole number, a pixel's centre is half a pixel inside.
Area = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class ModelInput:
    """A photo as a classifier reads it.

    pixels: float32 ``[height, width, channels]``. photo_shape: (height, width) of the photo. ``area`` of the
    photo fills ``frame`` of the input.
    """

    pixels: np.ndarray
    photo_shape: tuple[int, int]
    area: Area
    frame: Area

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Map points of the input to the photo: float ``[n, 2]`` (row, column) to float ``[n, 2]``.

        Whole numbers are the centres of pixels in both. Points outside the photo are clipped to its edge.
        """
        area, frame = np.array(self.area), np.array(self.frame)
        share = (np.asarray(points, float).reshape(-1, 2) + 0.5 - frame[:2]) / frame[2:]
        places = area[:2] + share * area[2:] - 0.5
        return np.clip(places, -0.5, np.array(self.photo_shape) - 0.5)


def _bgr_minus(mean: tuple[float, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: pixels[..., ::-1] - np.array(mean, np.float32)


def _imagenet_statistics(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255 - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_DEVIATION, np.float32)


# What is done to RGB (or grey) pixels 0..255; "tf", "torch" and "caffe" are the modes of keras.applications.
VALUES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda pixels: pixels,
    "unit": lambda pixels: pixels / 255,
    "tf": lambda pixels: pixels / 127.5 - 1,
    "torch": _imagenet_statistics,
    "caffe": _bgr_minus(CAFFE_MEAN_BGR),
    "bvlc": _bgr_minus(BVLC_MEAN_BGR),
}
THREE_CHANNELS_ONLY = ("torch", "caffe", "bvlc")
PLACEMENTS = ("squeeze", "crop", "sketch")


@dataclass(frozen=True)
class Preprocessing:
    """Turns a photo into an input of ``height`` x ``width`` x ``channels``; call it with a photo.

    placement: ``"squeeze"`` resizes the whole photo, its aspect ratio not kept; ``"crop"`` takes its centre,
    aspect ratio kept; ``"sketch"`` cuts out the drawing, strokes 1 on 0 (``values`` is not used). values: a
    key of ``VALUES``. dilations, margin: of a sketch, see ``strokes.Strokes``.
    """

    height: int
    width: int
    channels: int = 3
    placement: str = "squeeze"
    values: str = "none"
    dilations: int = 0
    margin: int = 0

    def __post_init__(self) -> None:
        _check("placement", self.placement, PLACEMENTS)
        _check("preprocessing", self.values, VALUES)
        if self.channels not in (1, 3):
            raise ModelError(f"expected a model that reads 1 or 3 channels, got {self.channels}")
        if self.channels == 1 and self.values in THREE_CHANNELS_ONLY:
            raise ModelError(f"preprocessing {self.values!r} is for colours; this model reads grey")

    def __call__(self, photo: Photo) -> ModelInput:
        shape = (photo.height, photo.width)
        if self.placement == "sketch":
            style = Strokes(self.height, self.width, self.dilations, self.margin)
            pixels, area, frame = fit(photo, style)
            return ModelInput(np.repeat(pixels[..., None], self.channels, axis=-1), shape, area, frame)
        area = self._area(*shape)
        top, left, height, width = area
        image = Image.fromarray(photo.pixels).convert("L" if self.channels == 1 else "RGB")
        box = (left, top, left + width, top + height)
        image = image.resize((self.width, self.height), Image.Resampling.BICUBIC, box=box)
        raw = np.asarray(image, np.float32).reshape(self.height, self.width, self.channels)
        values = np.ascontiguousarray(VALUES[self.values](raw), np.float32)
        return ModelInput(values, shape, area, (0, 0, self.height, self.width))

    def _area(self, height: int, width: int) -> Area:
        """The part of the photo that fills the input."""
        if self.placement == "squeeze":
            return 0, 0, height, width
        scale = CENTRE_CROP * min(height / self.height, width / self.width)
        shown = (self.height * scale, self.width * scale)
        return (height - shown[0]) / 2, (width - shown[1]) / 2, *shown


def _check(what: str, given: str, known: tuple[str, ...] | dict) -> None:
    if given not in known:
        raise ModelError(f"unknown {what} {given!r}; choose one of {', '.join(known)}")
