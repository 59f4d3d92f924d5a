"""The input of an encoder, made from RGB pixels; and the average picture."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import ModelError, first_line
from gazeback.models.photos import load_photo, squeeze

BATCH = 16
"""Photos that go through the encoder at once."""
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

Preprocess = Callable[[np.ndarray], Any]


@dataclass(frozen=True, eq=False)
class ImageInput:
    """The input of an encoder.

    Attributes:
        size: (height, width) in pixels; ``channels``.
        preprocess: the user's function of RGB pixels 0..255, or None.
        name: of the module of ``keras.applications`` that it is from; None for another.
        singly: the function takes one image ``[h, w, 3]``, not a batch.
    """

    size: tuple[int, int]
    channels: int
    preprocess: Preprocess | None
    name: str | None
    singly: bool = False

    @classmethod
    def of(cls, shape: tuple[int, ...], preprocess: Any) -> ImageInput:
        """Make it for an image input ``[h, w, channels]``, with the user's function or the name of one.

        Raises:
            ModelError: the function does not make images of that shape.
        """
        function, name = _function(preprocess)
        height, width, channels = shape
        reasons = []
        for singly in (False, True):
            image_input = cls((height, width), channels, function, name, singly)
            try:
                image_input(np.full((2, height, width, 3), 127.0, np.float32))
            except Exception as error:  # a foreign function raises nearly anything
                reasons.append(first_line(error))
            else:
                return image_input
        raise ModelError(
            f"preprocess: does not turn float32 images [n, {height}, {width}, 3], RGB 0..255, into what the "
            f"encoder reads, [n, {height}, {width}, {channels}] ({reasons[0]})"
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images ``[n, h, w, 3]``, RGB 0..255, as the encoder reads them."""
        # A copy: the functions of keras.applications change what they are given.
        images = np.array(images, np.float32)
        if self.preprocess is None:
            found = images
        elif self.singly:
            found = np.stack([_array(self.preprocess(image)) for image in images])
        else:
            found = _array(self.preprocess(images))
        if found.shape != (len(images), *self.size, self.channels):
            raise ValueError(f"it makes {list(found.shape)} of {list(images.shape)}")
        return np.asarray(found, np.float32)


def _array(values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values))


def _function(given: Any) -> tuple[Preprocess | None, str | None]:
    if given is None:
        return None, None
    if isinstance(given, str):
        return _named(given), given
    if not callable(given):
        raise ModelError(
            "preprocess: expected a function of images, the name of a network of keras.applications, or "
            f"None; got a {type(given).__name__}"
        )
    module = getattr(given, "__module__", "")
    name = module.rpartition(".")[2] if module.startswith("keras.src.applications.") else None
    return given, name


def _named(name: str) -> Preprocess:
    """``preprocess_input`` of a network or module of ``keras.applications``, by name."""
    wanted = name.lower().replace("-", "_")
    modules = {}
    for known, member in inspect.getmembers(keras.applications):
        if inspect.isfunction(member):
            modules[known.lower()] = sys.modules[member.__module__]
        elif inspect.ismodule(member):
            modules[known.lower()] = member
    found = getattr(modules.get(wanted), "preprocess_input", None)
    if found is None:
        raise ModelError(f"preprocess: keras.applications has no network {name!r} (vgg16, inception_v3, ...)")
    function: Preprocess = found
    return function


def average_map(
    given: Any, shape: tuple[int | None, ...], size: tuple[int, int], look: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray | None:
    """The last map of the average picture, float32 ``[h, w, C]``.

    Args:
        given: paths, arrays or loaded photos, or a folder of them, whose maps are averaged; or an array that
            is the map already, ``[h, w, C]``, or its mean ``[C]``; None if it is not measured.
        shape: of the map.
        size: (height, width) of the images.
        look: images ``[n, height, width, 3]``, RGB 0..255, to maps.

    Raises:
        ModelError: there is no photo, or an array is neither photos nor a map; PhotoError: a bad photo.
    """
    if given is None:
        return None
    if isinstance(given, np.ndarray) and given.dtype.kind == "f" and _is_map(given, shape):
        return np.asarray(given, np.float32)
    total, count = np.zeros(1, np.float64), 0
    for images in _batches(given, size):
        total = total + look(images).sum(axis=0, dtype=np.float64)
        count += len(images)
    if not count:
        raise ModelError(f"mean: no photo in {given!r}; expected paths or arrays of photos, or the mean map")
    return (total / count).astype(np.float32)


def _is_map(array: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    if array.shape == shape[-1:]:
        return True
    return array.ndim == 3 and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))


def _batches(given: Any, size: tuple[int, int]) -> Iterator[np.ndarray]:
    batch: list[np.ndarray] = []
    for source in _sources(given):
        photo = source if hasattr(source, "pixels") else load_photo(_as_photo(source))
        batch.append(squeeze(photo, size).pixels)
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def _sources(given: Any) -> Iterable[Any]:
    if isinstance(given, str | Path):
        folder = Path(given)
        if folder.is_dir():
            return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
        return [folder]
    if isinstance(given, np.ndarray) and given.ndim == 3:
        return [given]
    if hasattr(given, "pixels") or not isinstance(given, Iterable):
        return [given]
    return given


def _as_photo(source: Any) -> Any:
    """Convert numbers 0..255 of another type to the bytes of a photo."""
    if isinstance(source, np.ndarray) and source.dtype != np.uint8:
        if source.ndim != 3 or source.shape[-1] != 3 or source.min() < 0 or source.max() > 255:
            raise ModelError(
                f"mean: expected photos [height, width, 3], RGB 0..255, or the mean map; got an array "
                f"{list(source.shape)} with values from {source.min():.3g} to {source.max():.3g}"
            )
        return np.rint(source).astype(np.uint8)
    return source
