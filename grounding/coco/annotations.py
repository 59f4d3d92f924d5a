"""Read COCO instances and their outlines, and write COCO results."""

import json
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.grounding.coco.categories import CategoryNames
from gazeback.models.captions_file import CocoImage, coco_format, images_of, read_coco_object
from gazeback.models.photos import Photo

Polygon = list[list[float]]

TOLERANCE = 0.5  # pixels by which a mask's outline may be simplified


@dataclass(frozen=True, eq=False)
class Instance:
    """One object as in the file; only its image and category have been checked.

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
    content = read_coco_object(path, "instances")
    with coco_format(path, "instances"):
        images = tuple(images_of(content) if images is None else images)
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        groups = {str(entry["name"]): str(entry.get("supercategory", "")) for entry in content["categories"]}
        ids = {image.id for image in images}
        annotations = [
            (int(entry["image_id"]), entry["category_id"], entry) for entry in content["annotations"]
        ]
        found = tuple(
            _instance(entry, image, names[category])
            for image, category, entry in annotations
            if image in ids and category in names
        )
    return Instances(images, groups, found, len(annotations) - len(found))


def _instance(entry: Mapping[str, Any], image: int, category: str) -> Instance:
    box, segmentation = entry.get("bbox"), entry.get("segmentation")
    return Instance(entry.get("id"), image, category, box, segmentation, bool(entry.get("iscrowd", 0)))


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
        return _mask_outlines(segmentation, height, width)
    try:
        flat = [np.asarray(polygon, float) for polygon in segmentation]
    except (TypeError, ValueError):
        return []
    return [
        polygon.reshape(-1, 2).tolist()
        for polygon in flat
        if polygon.ndim == 1 and polygon.size >= 6 and polygon.size % 2 == 0
    ]


def _mask_outlines(rle: dict[str, Any], height: int, width: int) -> list[Polygon]:
    # Imported here because only crowds and unusual files need them.
    from pycocotools import mask
    from skimage.measure import approximate_polygon, find_contours

    try:
        packed = mask.frPyObjects(rle, height, width) if isinstance(rle["counts"], list) else rle
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under NumPy 2
            pixels = np.pad(mask.decode(packed), 1)  # padding closes the outline at the photo's edge
    except (KeyError, TypeError, ValueError):
        return []
    contours = (approximate_polygon(contour, TOLERANCE) for contour in find_contours(pixels, 0.5))
    # (row, column) of pixel centres in the padded mask -> (x, y) from the photo's edge
    return [(contour[:, ::-1] - 0.5).tolist() for contour in contours if len(contour) > 3]


def write_results(entries: Iterable[dict[str, Any]], path: Path) -> None:
    """Write a COCO results file, which `pycocotools.coco.COCO.loadRes` accepts, entry by entry.

    `entries`: {"image_id", "caption", "words"}, at least one, because loadRes reads the first.
    """
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            for number, entry in enumerate(entries):
                file.write(",\n" if number else "[\n")
                json.dump(entry, file, allow_nan=False)
            file.write("\n]\n")
            file.close()
            os.chmod(file.name, 0o644)  # temporary files are private
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
