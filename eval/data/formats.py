"""Read images with objects from data folders, with one function for each format.

The functions raise DataError if the format is wrong. Faulty annotations are left out and counted by reason.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from gazeback.eval.data.coco import read_objects
from gazeback.eval.data.image import Object, ObjectImage, checked_box, unique
from gazeback.eval.metrics.maps import Box
from gazeback.grounding.coco.annotations import FourNumbers
from gazeback.models.errors import DataError
from gazeback.models.reading import MOST_PIXELS, FileName, Known, Side, is_file, read_json

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

USUAL_SPLIT = "val2017"


@dataclass(frozen=True)
class Read:
    """The content of a folder.

    Attributes:
        images: all images, including those without an object or a label.
        class_names: the classes of the labels, or all categories.
        split: the split that was read, if the folder has splits.
        ordered: whether labels are indices of a classifier's classes; otherwise classes are matched by name.
    """

    images: list[ObjectImage]
    class_names: tuple[str, ...] = ()
    split: str | None = None
    ordered: bool = False


@dataclass(frozen=True)
class Format:
    """A kind of data folder: how it is recognised and read.

    Attributes:
        holds: the content of such a folder, in words.
        matches: whether a folder is of this kind.
        read: takes a folder, the requested split and a counter of left out annotations. Raises DataError.
    """

    holds: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, str | None, Counter[str]], Read]


def holding(*patterns: str) -> Callable[[Path], bool]:
    """Make a test of a folder: it passes if every pattern, as of `Path.glob`, matches something in it."""
    return lambda folder: all(any(folder.glob(pattern)) for pattern in patterns)


def read_coco(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """Read `annotations/instances_SPLIT.json` and the images in `SPLIT/`."""
    split = _coco_split(folder, split)
    found = read_objects(folder / "annotations" / f"instances_{split}.json", folder / split, skipped)
    return Read(list(found.images.values()), found.instances.categories, split)


def _coco_split(folder: Path, split: str | None) -> str:
    """The requested split, or the usual one, or the only one. Raises DataError."""
    files = sorted((folder / "annotations").glob("instances_*.json"))
    there = [path.stem.removeprefix("instances_") for path in files]
    if split in there:
        return split
    if split is None and (USUAL_SPLIT in there or len(there) == 1):
        return USUAL_SPLIT if USUAL_SPLIT in there else there[0]
    asked = "name a split" if split is None else f"no split {split!r} in {folder}"
    raise DataError(f"{asked}: its splits are {', '.join(there)}")


def read_labelled(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """Read `images/`, `annotations.json` and `class_names.json`.

    `annotations.json` has `images[]`: `{file_name, width, height, label, boxes}`. `class_names.json` is in
    the order of the labels.

    A downsampled image may have `original_width` and `original_height`, the size in which it was annotated.
    Coordinates are then in pixels of that size.
    """
    names = read_json(folder / "class_names.json", ClassNames, "a list of two or more class names")
    path = folder / "annotations.json"
    content = read_json(path, _Labelled, LABELLED)
    entries = unique(content.images, lambda e: e.file_name, "duplicated image", skipped)
    images = [_labelled_image(entry, folder / "images", names, skipped) for entry in entries]
    return Read([image for image in images if image is not None], tuple(names), ordered=True)


ClassNames = Annotated[list[str], Meta(min_length=2)]

LABELLED = (
    "an object with images[]: file_name, width, height, label (a whole number from 0), boxes [x, y, w, h]"
)


class _LabelledEntry(Known):
    file_name: FileName
    width: Side
    height: Side
    label: int
    boxes: list[FourNumbers]
    original_width: Side | None = None
    original_height: Side | None = None


class _Labelled(Known):
    images: list[_LabelledEntry]


def _labelled_image(
    entry: _LabelledEntry, folder: Path, names: list[str], skipped: Counter[str]
) -> ObjectImage | None:
    size = (entry.height, entry.width)
    original = (entry.original_height or entry.height, entry.original_width or entry.width)
    if max(np.prod(size), np.prod(original)) > MOST_PIXELS:
        skipped["image of too many pixels"] += 1
        return None
    if not 0 <= entry.label < len(names):
        skipped["label that is no class"] += 1
        return None
    boxes = [checked_box(box, size, skipped) for box in entry.boxes]
    objects = tuple(Object(names[entry.label], box) for box in boxes if box is not None)
    name = entry.file_name
    return ObjectImage(name, folder / name, size, objects, entry.label, original=original)


@dataclass(frozen=True)
class Published:
    """A published result for one image: the predicted class, and a box in pixels of the image."""

    predicted: int
    box: Box


def read_published(folder: Path, images: Sequence[ObjectImage]) -> dict[str, dict[str, Published]]:
    """Read published boxes for the images of a labelled folder, by network and image name.

    They are in `published_boxes.json`; the result is empty without this file. Raises DataError.
    """
    path, names = folder / "published_boxes.json", {image.name for image in images}
    if not is_file(path):
        return {}
    expected = "an object with boxes[network][file_name] = {predicted_label, box}"
    return {
        network: {
            name: Published(row.predicted_label, row.box) for name, row in rows.items() if name in names
        }
        for network, rows in read_json(path, _PublishedBoxes, expected).boxes.items()
    }


class _PublishedRow(Known):
    predicted_label: int
    box: FourNumbers


class _PublishedBoxes(Known):
    boxes: dict[str, dict[str, _PublishedRow]]


def read_masks(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """Read `images/` and `masks/`, whose files have the same names except for the ending; a folder in them is
    a category."""
    masks = {_stem(path, folder / "masks"): path for path in pictures(folder / "masks")}
    images = []
    for path in pictures(folder / "images"):
        stem = _stem(path, folder / "images")
        if stem not in masks:
            skipped["image without a mask"] += 1
            continue
        name = path.relative_to(folder / "images").as_posix()
        group = name.split("/")[0] if "/" in name else ""
        images.append(ObjectImage(name, path, mask_path=masks.pop(stem), group=group))
    skipped["mask without an image"] += len(masks)
    return Read(images)


def read_class_folders(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """Read one folder of images for each class, named like the class."""
    images: list[ObjectImage] = []
    names: list[str] = []
    for of_class in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = pictures(of_class)
        skipped["folder without an image"] += not found
        if found:
            images += [
                ObjectImage(path.relative_to(folder).as_posix(), path, label=len(names), group=of_class.name)
                for path in found
            ]
            names.append(of_class.name)
    return Read(images, tuple(names))


def _has_class_folders(folder: Path) -> bool:
    folders = {path.name: path for path in folder.iterdir() if path.is_dir()}
    known = {"images", "masks", "annotations"} & set(folders)
    return not known and any(_is_picture(path) for one in folders.values() for path in one.iterdir())


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, in order."""
    return sorted(p for p in folder.rglob("*") if _is_picture(p) and p.is_file())


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


FORMATS = {
    "COCO": Format(
        "annotations/instances_SPLIT.json with images in SPLIT/",
        holding("annotations/instances_*.json"),
        read_coco,
    ),
    "labelled": Format(
        "images/ with annotations.json and class_names.json",
        holding("images", "annotations.json", "class_names.json"),
        read_labelled,
    ),
    "masks": Format("images/ with masks/", holding("images", "masks"), read_masks),
    "class folders": Format("a folder of images for each class", _has_class_folders, read_class_folders),
}
"""The formats of data folders, by name; a folder is read in the first format that matches."""


def format_of(folder: Path) -> str:
    """The name of a folder's format. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"no such data folder: {folder}")
    found = next((name for name, one in FORMATS.items() if one.matches(folder)), None)
    if found is None:
        raise DataError(f"{folder}: expected {', or '.join(one.holds for one in FORMATS.values())}")
    return found
