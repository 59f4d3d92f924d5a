"""Read COCO instances and their outlines, and write COCO results."""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
from msgspec import Meta, field

from gazeback.grounding.coco.categories import CategoryNames
from gazeback.models.captions_file import CocoImage, ImageEntry, coco_format, images_of
from gazeback.models.photos import Photo
from gazeback.models.reading import MOST_PIXELS, Known, Side, fits, read_json
from gazeback.models.writing import json_text, whole

Polygon = list[list[float]]

TOLERANCE = 0.5  # pixels by which a mask's outline may be simplified


@dataclass(frozen=True, eq=False)
class Instance:
    """One object as in the file; its box and its segmentation have not been checked.

    id, box `[x, y, w, h]`, segmentation (polygons or run lengths): None if the file does not have them.
    crowd: several objects that were annotated as one.
    """

    id: Any
    image_id: int
    category: str
    box: Any
    segmentation: Any
    crowd: bool


@dataclass(frozen=True)
class Instances:
    """The objects of a COCO file, in its order, with the supercategory of each category.

    dangling: the number of annotations whose image or category is unknown."""

    images: tuple[CocoImage, ...]
    supercategory: Mapping[str, str]
    found: tuple[Instance, ...]
    dangling: int

    @property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories, in the file's order."""
        return tuple(self.supercategory)

    @cached_property
    def names(self) -> CategoryNames:
        """The words that name the categories."""
        return CategoryNames(self.categories)

    @cached_property
    def by_image(self) -> dict[int, list[Instance]]:
        """The objects of each image that has any, by its id."""
        by_image: dict[int, list[Instance]] = defaultdict(list)
        for instance in self.found:
            by_image[instance.image_id].append(instance)
        return dict(by_image)


def read_instances(path: Path, images: Sequence[CocoImage] | None = None) -> Instances:
    """Read a file of COCO instances.

    images: the images whose objects are wanted, if they are not those of the file. Raises DataError.
    """
    content = read_json(path, _Content, coco_format("instances"))
    images = images_of(path, content.images) if images is None else tuple(images)
    names = {entry.id: entry.name for entry in content.categories}
    groups = {entry.name: entry.supercategory or "" for entry in content.categories}
    ids = {image.id for image in images}
    found = tuple(
        Instance(
            entry.id, entry.image_id, names[entry.category_id], entry.bbox, entry.segmentation,
            bool(entry.iscrowd),
        )
        for entry in content.annotations
        if entry.image_id in ids and entry.category_id in names
    )  # fmt: skip
    return Instances(images, groups, found, len(content.annotations) - len(found))


FourNumbers = tuple[float, float, float, float]
"""A box, `[x, y, w, h]`."""


class _Category(Known):
    id: int
    name: str
    supercategory: str | None = None


class _Annotation(Known):
    image_id: int
    category_id: int
    id: int | str | None = None
    bbox: FourNumbers | None = None
    segmentation: Any = None
    iscrowd: int | bool | None = None


class _Content(Known):
    categories: list[_Category]
    annotations: list[_Annotation]
    images: list[ImageEntry] = field(default_factory=list)


def word_outlines(
    words: Sequence[str], image: CocoImage, photo: Photo, instances: Instances
) -> dict[int, list[Polygon]]:
    """Word index -> the outlines of all instances of the categories it names: polygons [[x, y], ...].

    Coordinates are in pixels of the photo, even if the annotated photo had another size.
    """
    height, width = image.size or (photo.height, photo.width)
    scale = (photo.width / width, photo.height / height)
    drawn = {}
    for index, categories in instances.names.named_by(words).items():
        polygons = [
            [[x * scale[0], y * scale[1]] for x, y in polygon]
            for instance in instances.by_image.get(image.id, ())
            if instance.category in categories
            for polygon in outlines(instance.segmentation, height, width)
        ]
        if polygons:
            drawn[index] = polygons
    return drawn


def outlines(segmentation: Any, height: int, width: int) -> list[Polygon]:
    """A COCO segmentation as polygons [[x, y], ...]: polygons as they are, an RLE mask by its outline.

    x and y are in pixels, 0 being the left or upper edge of the first pixel. An unknown format gives no
    polygon.
    """
    if isinstance(segmentation, dict):
        return _mask_outlines(segmentation, (height, width))
    polygons = segmentation if isinstance(segmentation, list) else []
    return [np.reshape(one, (-1, 2)).astype(float).tolist() for one in polygons if _is_polygon(one)]


def is_outline(segmentation: Any, size: tuple[int, int]) -> bool:
    """Whether a COCO segmentation can be decoded: polygons of three corners or more, or run lengths that fill
    an image of (height, width)."""
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), bytes):
        segmentation = {**segmentation, "counts": segmentation["counts"].decode("ascii", errors="replace")}
    if isinstance(segmentation, list):
        return bool(segmentation) and all(_is_polygon(polygon) for polygon in segmentation)
    if not fits(segmentation, _RunLengths) or size[0] * size[1] > MOST_PIXELS:
        return False
    counts = segmentation["counts"]
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    return list(segmentation["size"]) == list(size) and sum(lengths) == size[0] * size[1]


LARGEST = 1e6
"""The largest coordinate in pixels; pycocotools takes memory for all that an outline spans."""

Coordinate = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]


class _RunLengths(Known):
    size: tuple[Side, Side]
    counts: str | list[Annotated[int, Meta(ge=0)]]


def _is_polygon(polygon: Any) -> bool:
    return fits(polygon, Annotated[list[Coordinate], Meta(min_length=6)]) and len(polygon) % 2 == 0


def _unpacked(counts: str) -> list[int]:
    """The run lengths in COCO's text: five bits a letter, from the third on as differences to the one before
    the last. ``[-1]`` if it is no such text; pycocotools would read and write beyond its memory."""
    lengths: list[int] = []
    value, shift = 0, 0
    for letter in counts:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            return [-1]
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4) if bits & 16 else 0
            value += lengths[-2] if len(lengths) > 2 else 0
            lengths.append(value)
            value, shift = 0, 0
    return lengths if not shift and min(lengths, default=-1) >= 0 else [-1]


def _mask_outlines(rle: dict[str, Any], size: tuple[int, int]) -> list[Polygon]:
    # Imported here because only crowds and unusual files need them.
    from pycocotools import mask
    from skimage.measure import approximate_polygon, find_contours

    if not is_outline(rle, size):
        return []
    packed = mask.frPyObjects(rle, *size) if isinstance(rle["counts"], list) else rle
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under NumPy 2
        pixels = np.pad(mask.decode(packed), 1)  # padding closes the outline at the photo's edge
    contours = (approximate_polygon(contour, TOLERANCE) for contour in find_contours(pixels, 0.5))
    # (row, column) of pixel centres in the padded mask -> (x, y) from the photo's edge
    return [(contour[:, ::-1] - 0.5).tolist() for contour in contours if len(contour) > 3]


def write_results(entries: Iterable[dict[str, Any]], path: Path) -> None:
    """Write a COCO results file, which `pycocotools.coco.COCO.loadRes` accepts, entry by entry.

    `entries`: {"image_id", "caption", "words"}, at least one, because loadRes reads the first.
    """
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        _write_list(entries, file)
        file.write("\n")


def write_boxes(
    images: Iterable[dict[str, Any]],
    boxes: Iterable[tuple[int, int, str, Sequence[float], float | None]],
    path: Path,
) -> None:
    """Write a file of COCO detections, entry by entry: the box of each word, whose category is the word.

    Args:
        images: {"id", "file_name", "height", "width"}.
        boxes: id of the image, position of the word in its caption, word, box ``[x, y, width, height]`` in
            pixels, and score (left out if it is None).
    """
    categories: dict[str, int] = {}

    def annotations() -> Iterator[dict[str, Any]]:
        for number, (image_id, position, word, box, score) in enumerate(boxes, 1):
            category = categories.setdefault(word, len(categories) + 1)
            entry = {"id": number, "image_id": image_id, "category_id": category, "bbox": box}
            known = {} if score is None else {"score": score}
            yield {**entry, "area": box[2] * box[3], "iscrowd": 0, **known, "position": position}

    with whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.write('{"images": ')
        _write_list(images, file)
        file.write(',\n"annotations": ')
        _write_list(annotations(), file)
        file.write(',\n"categories": ')
        _write_list(({"id": number, "name": word} for word, number in categories.items()), file)
        file.write("}\n")


def _write_list(entries: Iterable[dict[str, Any]], file: TextIO) -> None:
    file.write("[\n")
    for number, entry in enumerate(entries):
        file.write(",\n" if number else "")
        file.write(json_text(entry))
    file.write("\n]")
