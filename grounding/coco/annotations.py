"""COCO's annotation files: the images of a split, the outlines of its instances, the results file."""

import json
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.grounding.coco.categories import CategoryNames
from gazeback.models.errors import DataError
from gazeback.models.photos import Photo

Polygon = list[list[float]]

TOLERANCE = 0.5  # pixels by which a mask's outline may be simplified


@dataclass(frozen=True)
class CocoImage:
    """One entry of "images"; the size, (height, width) in pixels, is None where the file does not tell it."""

    id: int
    file_name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class CocoSplit:
    """images: in the file's order. strays: annotations of images that the file does not list."""

    images: tuple[CocoImage, ...]
    strays: int


@dataclass(frozen=True)
class Instances:
    """by_image: image id -> (category, segmentation). strays: annotations of no known image or category."""

    names: CategoryNames
    by_image: dict[int, list[tuple[str, Any]]]
    strays: int


def read_split(path: Path) -> CocoSplit:
    """A captions file (or an image list without annotations). Raises DataError."""
    content = _read(path, "captions")
    try:
        images = tuple(
            CocoImage(int(entry["id"]), str(entry["file_name"]), _size(entry)) for entry in content["images"]
        )
        annotations = content.get("annotations", [])
        ids = {image.id for image in images}
        strays = sum(entry["image_id"] not in ids for entry in annotations)
        captioned = not annotations or any("caption" in entry for entry in annotations)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(_no_coco(path, "captions", error)) from None
    if not captioned:
        raise DataError(f"{path}: its annotations have no captions; --annotations takes the captions file")
    if not images:
        raise DataError(f"{path}: lists no images")
    return CocoSplit(images, strays)


def read_instances(path: Path, split: CocoSplit) -> Instances:
    """The instances of the split's images. Raises DataError."""
    content = _read(path, "instances")
    ids = {image.id for image in split.images}
    by_image: dict[int, list[tuple[str, Any]]] = defaultdict(list)
    strays = 0
    try:
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        for entry in content["annotations"]:
            if entry["image_id"] in ids and entry["category_id"] in categories:
                found = (categories[entry["category_id"]], entry["segmentation"])
                by_image[entry["image_id"]].append(found)
            else:
                strays += 1
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(_no_coco(path, "instances", error)) from None
    return Instances(CategoryNames(categories.values()), dict(by_image), strays)


def word_outlines(
    words: Sequence[str], image: CocoImage, photo: Photo, instances: Instances
) -> dict[int, list[Polygon]]:
    """Word index -> the outlines of all instances of the categories it names: polygons [[x, y], ...].

    In photo pixels, also where the photo is stored in another size than the one that was annotated.
    """
    height, width = image.size or (photo.height, photo.width)
    scale = (photo.width / width, photo.height / height)
    drawn = {}
    for index, categories in instances.names.named_by(words).items():
        polygons = [
            [[x * scale[0], y * scale[1]] for x, y in polygon]
            for category, segmentation in instances.by_image.get(image.id, ())
            if category in categories
            for polygon in outlines(segmentation, height, width)
        ]
        if polygons:
            drawn[index] = polygons
    return drawn


def outlines(segmentation: Any, height: int, width: int) -> list[Polygon]:
    """A COCO segmentation as polygons [[x, y], ...]: polygons as they are, an RLE mask by its outline.

    x and y are in pixels, 0 being the left or upper edge of the first pixel. Nothing for what is neither.
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
    # Imported here as only crowds and unusual files need them.
    from pycocotools import mask
    from skimage.measure import approximate_polygon, find_contours

    try:
        packed = mask.frPyObjects(rle, height, width) if isinstance(rle["counts"], list) else rle
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under NumPy 2
            pixels = np.pad(mask.decode(packed), 1)  # padded, so that an outline closes at the photo's edge
    except (KeyError, TypeError, ValueError):
        return []
    contours = (approximate_polygon(contour, TOLERANCE) for contour in find_contours(pixels, 0.5))
    # (row, column) of pixel centres in the padded mask -> (x, y) from the photo's edge
    return [(contour[:, ::-1] - 0.5).tolist() for contour in contours if len(contour) > 3]


def write_results(entries: Iterable[dict[str, Any]], path: Path) -> None:
    """A COCO results file, which `pycocotools.coco.COCO.loadRes` accepts; written entry by entry.

    `entries`: {"image_id", "caption", "words"}, at least one, as loadRes reads the first.
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


def _read(path: Path, kind: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected COCO {kind} in JSON") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; expected a file of COCO {kind} in JSON") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); expected COCO {kind}") from None
    if not isinstance(content, dict):
        raise DataError(_no_coco(path, kind, f"the file is a {type(content).__name__}"))
    return content


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    return (int(height), int(width)) if height and width else None


def _no_coco(path: Path, kind: str, problem: object) -> str:
    told = f"{problem} is missing" if isinstance(problem, KeyError) else str(problem)
    wanted = {"captions": '"images" (id, file_name)', "instances": '"categories" and "annotations"'}[kind]
    return f"{path}: not in COCO's {kind} format, an object with {wanted}: {told}"
