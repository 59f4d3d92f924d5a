"""Average images: the mean of the patches of the training photos to which a filter responds most.

Oramas, Wang, Tuytelaars, *Visual Explanation by Interpretation*, ICLR 2019, section 4.1 and Figure 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from gazeback.cnn_trace.layout import channels_last
from gazeback.cnn_trace.receptive_field import ReceptiveField, field_of_tensor
from gazeback.eval.harness.run import tracked
from gazeback.eval.interpretation.filters import Filters
from gazeback.eval.interpretation.relevant import Feature, RelevantFeatures
from gazeback.models.classifiers import Preprocessing
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo, load_photo

PATCHES, SHARE, FEWEST = 100, 0.05, 5  # patches; of few photos this fraction of them, and no fewer than this
SEEN = 0.5  # the smallest fraction of the patches that have the outermost rows and columns of a mean
EXAMPLES, EXAMPLE_SIDE = 3, 96
BATCH = 8
MEMORY = 256 * 2**20  # bytes of the sums that are built up in one pass over the photos


@dataclass(frozen=True)
class Patch:
    """The location of a filter's largest response in a photo; ``window`` is in pixels of the model's input,
    with exclusive ends."""

    photo: str
    response: float
    window: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class AverageImage:
    """The mean of a feature's patches.

    Attributes:
        feature: the filter; ``number``: the number of its layer in the network, from 1; ``kind``: of the
            layer.
        patches: the largest response first.
        pixels: uint8 ``[height, width, 3]``, RGB, without the outer rows and columns that fewer than half of
            the patches have; white where none has a pixel. Without any patch it is ``[1, 1, 3]``.
        size: (height, width) of the whole window.
        examples: the parts of the first few patches that are on the photo, uint8, no side above
            `EXAMPLE_SIDE`.
    """

    feature: Feature
    number: int
    kind: str
    patches: tuple[Patch, ...]
    pixels: np.ndarray
    size: tuple[int, int]
    examples: tuple[np.ndarray, ...]


def average_patches(
    model: keras.Model,
    preprocess: Preprocessing,
    photos: Sequence[Any],
    relevant: RelevantFeatures,
    patches: int | None = None,
    *,
    top: int | None = None,
    last: str | None = None,
) -> dict[str, list[AverageImage]]:
    """Compute the average images of the relevant features of each class.

    For each feature, the location with the filter's largest response is found in every photo, if the response
    is above 0. So there is at most one patch per photo. The ``patches`` with the largest responses are kept.
    A patch is the receptive field of the unit, in the photo's colours, without operations that act equally at
    all locations (see :func:`receptive_field`). A pixel is averaged over the patches in which it is on the
    photo. Photos are read one at a time, and again for the patches, so memory does not grow with their
    number.

    Args:
        model, preprocess: any network that reads photos, and its preprocessing.
        photos: paths, or anything that ``load_photo`` reads.
        relevant: the features; ``top``: use only so many of each class, the first ones.
        patches: the largest number of patches. The default is 100, as in the paper. For fewer than 2000
            photos it is a twentieth of them, because the mean of most photos would be the same for every
            filter.
        last: the layer whose map is the output of interest, for a captioner its ``features_layer``; None for
            a classifier.

    Returns:
        For each class, the average images in the order of its features.

    Raises:
        UserError: no photo, a number below 1, a feature that the model does not have, or an output that
            depends on several inputs; PhotoError: a photo that cannot be read; TraceError: a unit that has no
            receptive field.
    """
    for what, number in (("patches", patches), ("photos", len(photos)), ("top", top)):
        if number is not None and number < 1:
            raise UserError(f"average images need 1 or more of {what}, got {number}")
    if patches is None:
        patches = min(PATCHES, max(FEWEST, round(SHARE * len(photos))))
    wanted = {name: list(relevant.of(name))[:top] for name in relevant.classes}
    filters = Filters.of(model, [feature for found in wanted.values() for feature in found], last)
    size = (preprocess.height, preprocess.width)
    fields = {
        layer: field_of_tensor(filters.graph, filters.tensor(layer), gates=False, input_size=size)
        for layer in filters.numbers
    }
    strongest = _strongest(filters, preprocess, photos, patches)
    found_patches = {
        (layer, number): strongest[layer].patches(column, fields[layer], photos)
        for layer, numbers in filters.numbers.items()
        for column, number in enumerate(numbers)
    }
    means = _means(found_patches, preprocess, photos)
    return {
        name: [
            AverageImage(
                feature,
                filters.place(feature.layer),
                filters.layers[feature.layer].kind,
                tuple(patch for _, patch in found_patches[feature.layer, feature.filter]),
                *means[feature.layer, feature.filter],
            )
            for feature in found
        ]
        for name, found in wanted.items()
    }


Found = list[tuple[int, Patch]]  # the number of the photo, and the location in it


@dataclass(frozen=True, eq=False)
class _Strongest:
    """The largest responses of some filters so far, the largest first. All arrays are ``[kept, filters]``.
    responses: float32. photos: int, the photos' numbers. rows, columns: int, of the units.
    """

    responses: np.ndarray
    photos: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def nothing(cls, filters: int) -> _Strongest:
        """No responses, before the first photo."""
        return cls(np.zeros((0, filters), np.float32), *(np.zeros((0, filters), np.int64) for _ in range(3)))

    @classmethod
    def of(cls, maps: np.ndarray, first: int) -> _Strongest:
        """Find the strongest unit of each filter in each photo, from maps ``[n, h, w, filters]``.

        first: the number of the first of these photos.
        """
        n, _, width, filters = maps.shape
        flat = maps.reshape(n, -1, filters)
        place = flat.argmax(axis=1)
        photos = np.broadcast_to(np.arange(first, first + n)[:, None], place.shape)
        return cls(np.take_along_axis(flat, place[:, None], 1)[:, 0], photos, *np.divmod(place, width))

    def merged(self, other: _Strongest, patches: int) -> _Strongest:
        """The largest responses of both; if equal, that of the earlier photo."""
        both = [np.concatenate(pair) for pair in zip(self._arrays, other._arrays, strict=True)]
        order = np.argsort(-both[0], axis=0, kind="stable")[:patches]
        return _Strongest(*(np.take_along_axis(values, order, axis=0) for values in both))

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.responses, self.photos, self.rows, self.columns

    def patches(self, column: int, field: ReceptiveField, photos: Sequence[Any]) -> Found:
        """The patches of one filter, where its response is above 0."""
        each = zip(*(values[:, column].tolist() for values in self._arrays), strict=True)
        return [
            (photo, Patch(_name(photos[photo]), response, field.window(row, place)))
            for response, photo, row, place in each
            if response > 0
        ]


def _name(photo: Any) -> str:
    return Path(photo).name if isinstance(photo, str | Path) else getattr(photo, "name", "photo")


def _strongest(
    filters: Filters,
    preprocess: Preprocessing,
    photos: Sequence[Any],
    patches: int,
) -> dict[str, _Strongest]:
    """Find the strongest units of each layer's filters over all photos."""
    found = {layer: _Strongest.nothing(len(numbers)) for layer, numbers in filters.numbers.items()}
    batches = range(0, len(photos), BATCH)
    for first in tracked(batches, len(batches), f"strongest units, {BATCH} at a time"):
        pixels = [preprocess(_photo(source)).pixels for source in photos[first : first + BATCH]]
        values = filters.values(np.stack(pixels))
        for layer, before in found.items():
            tensor = filters.tensor(layer)
            maps = channels_last(tensor, values[tensor])[..., filters.numbers[layer]]
            maps = maps if maps.ndim == 4 else maps[:, None, None]
            found[layer] = before.merged(_Strongest.of(maps, first), patches)
    return found


def _means(
    found: Mapping[tuple[str, int], Found],
    preprocess: Preprocessing,
    photos: Sequence[Any],
) -> dict[tuple[str, int], tuple[np.ndarray, tuple[int, int], tuple[np.ndarray, ...]]]:
    """Compute every filter's average image, as many filters at a time as fit into `MEMORY`."""
    means = {}
    for group in _groups(found):
        sums = {key: _Sum.of(found[key]) for key in group}
        by_photo: dict[int, list[tuple[_Sum, Patch, int]]] = {}
        for key in group:
            for rank, (photo, patch) in enumerate(found[key]):
                by_photo.setdefault(photo, []).append((sums[key], patch, rank))
        for photo, parts in tracked(sorted(by_photo.items()), len(by_photo), "patches, photo by photo"):
            picture = as_seen(preprocess, _photo(photos[photo]))
            for total, patch, rank in parts:
                total.add(picture, patch.window, rank)
        means.update({key: total.finished(len(found[key])) for key, total in sums.items()})
    return means


def _groups(found: Mapping[tuple[str, int], Found]) -> Iterator[list[tuple[str, int]]]:
    group: list[tuple[str, int]] = []
    held = 0
    for key, patches in found.items():
        height, width = _shape(patches)
        size = height * width * 4 * np.dtype(np.float32).itemsize
        if group and held + size > MEMORY:
            yield group
            group, held = [], 0
        group.append(key)
        held += size
    yield group


def _shape(found: Found) -> tuple[int, int]:
    if not found:
        return 1, 1
    top, left, bottom, right = found[0][1].window
    return bottom - top, right - left


@dataclass(frozen=True, eq=False)
class _Sum:
    """Sums of colours float32 ``[h, w, 3]``, and the number of patches that have each pixel, float32
    ``[h, w]``. examples: by their rank.
    """

    colours: np.ndarray
    present: np.ndarray
    examples: dict[int, np.ndarray]

    @classmethod
    def of(cls, found: Found) -> _Sum:
        height, width = _shape(found)
        return cls(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32), {})

    def add(self, picture: np.ndarray, window: tuple[int, int, int, int], rank: int) -> None:
        """Add the part of a picture ``[H, W, 3]`` that is in a window."""
        inside = [
            slice(max(start, 0), min(end, side))
            for start, end, side in zip(window[:2], window[2:], picture.shape, strict=False)
        ]
        here = tuple(
            slice(part.start - start, part.stop - start) for part, start in zip(inside, window, strict=False)
        )
        part = picture[tuple(inside)]
        self.colours[here] += part
        self.present[here] += 1
        if rank < EXAMPLES:
            self.examples[rank] = _small(part)

    def finished(self, patches: int) -> tuple[np.ndarray, tuple[int, int], tuple[np.ndarray, ...]]:
        """Return the mean colours where enough patches have pixels, the size of the window, and the
        examples."""
        count = self.present[..., None]
        colours = np.divide(self.colours, count, out=np.full_like(self.colours, 255), where=count > 0)
        seen = self.present >= SEEN * max(patches, 1)
        if seen.any():
            colours = colours[_extent(seen.max(axis=1)), _extent(seen.max(axis=0))]
        examples = tuple(self.examples[rank] for rank in sorted(self.examples))
        height, width = self.present.shape
        return np.rint(colours).astype(np.uint8), (height, width), examples


def _extent(marked: np.ndarray) -> slice:
    places = np.flatnonzero(marked)
    return slice(int(places[0]), int(places[-1]) + 1)


def _small(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels)
    image.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
    return np.asarray(image)


def _photo(source: Any) -> Photo:
    return source if isinstance(source, Photo) else load_photo(source)


def as_seen(preprocess: Preprocessing, photo: Photo) -> np.ndarray:
    """Show what a model reads of a photo, in the photo's colours: uint8 ``[height, width, 3]``.

    For a drawing, the strokes as the model reads them, black on white.
    """
    if preprocess.placement == "sketch":
        pixels = 255 * (1 - preprocess(photo).pixels)
    else:
        pixels = replace(preprocess, values="none")(photo).pixels
    colours = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
    return np.repeat(colours, 3, axis=-1) if colours.shape[-1] == 1 else colours
