"""Images with objects from a data folder in any of four formats.

- COCO: `annotations/instances_SPLIT.json` and the images in `SPLIT/`.
- labelled: `images/`, `annotations.json` and `class_names.json`, a class and boxes for each image.
- masks: `images/` and `masks/` with equal names; a folder in them is a category.
- class folders: a folder of images for each class, without objects.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from gazeback.eval.data import formats as object_formats
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.data.selection import Part, select
from gazeback.models.errors import DataError

Kind = Literal["COCO", "labelled", "masks", "class folders"]

WRONG_CLASS_RULE = (
    "sha256 of the file name, bytes 9-12, modulo the number of wrong classes, "
    "which are counted from the first right one on"
)

USUAL_SPLIT = "val2017"

FORMATS: dict[Kind, str] = {
    "COCO": "annotations/instances_SPLIT.json with images in SPLIT/",
    "labelled": "images/ with annotations.json and class_names.json",
    "masks": "images/ with masks/",
    "class folders": "a folder of images for each class",
}
"""What a folder of each format holds."""


class ObjectData:
    """The images of a folder, in the order of their names' hashes; `skipped` counts what cannot be used.

    class_names: what the labels of images count. kind: the folder's format. digest: stands for all that
    was read.
    """

    def __init__(
        self, folder: Path, split: str | None = None, part: Part = "all", limit: int | None = None,
        kinds: Collection[Kind] = ("COCO", "labelled", "masks"),
    ) -> None:  # fmt: skip
        """Reads the annotations. `kinds`: the formats that will do. Raises DataError."""
        if not folder.is_dir():
            raise DataError(f"no such data folder: {folder}")
        self.folder, self.skipped = folder, Counter[str]()
        self.kind, self.split = _kind(folder), split
        if self.kind not in kinds:
            wanted = ", or ".join(FORMATS[kind] for kind in kinds)
            raise DataError(f"{folder} looks like {FORMATS[self.kind]}; this task reads {wanted}")
        images, self.class_names = self._read()
        images = [image for image in self._without_doubles(images) if self._is_usable(image)]
        self.digest = _digest(images)
        self.images = select(images, [image.name for image in images], part, limit)
        if not self.images:
            told = ", ".join(f"{reason}: {count}" for reason, count in self.skipped.items() if count)
            raise DataError(f"no image in the {part} part of {folder}" + (f" ({told})" if told else ""))
        self._by_name = {image.name: image for image in self.images}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, name: str) -> ObjectImage:
        return self._by_name[name]

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def _read(self) -> object_formats.Read:
        if self.kind == "COCO":
            self.split = _split(self.folder, self.split)
            return object_formats.read_coco(self.folder, self.split, self.skipped)
        if self.kind == "labelled":
            return object_formats.read_labelled(self.folder, self.skipped)
        if self.kind == "masks":
            return object_formats.read_masks(self.folder, self.skipped)
        return object_formats.read_class_folders(self.folder, self.skipped)

    def _without_doubles(self, images: list[ObjectImage]) -> list[ObjectImage]:
        first = {image.name: image for image in reversed(images)}
        self.skipped["duplicated image"] += len(images) - len(first)
        return list(reversed(first.values()))

    def _is_usable(self, image: ObjectImage) -> bool:
        if not image.path.is_file():
            self.skipped["missing image"] += 1
            return False
        if not image.objects and self.kind in ("COCO", "labelled"):
            self.skipped["image without an object"] += 1
            return False
        return True


def _digest(images: Sequence[ObjectImage]) -> str:
    """sha256 of the images' annotations and the sizes of their files: 16 hex digits."""
    digest = hashlib.sha256()
    for image in sorted(images, key=lambda image: image.name):
        sizes = [path.stat().st_size for path in (image.path, image.mask_path) if path is not None]
        digest.update(repr((image.name, image.size, image.label, image.objects, sizes)).encode())
    return digest.hexdigest()[:16]


def wrong_class(name: str, right: Collection[int], classes: int) -> int:
    """A class that is none of the image's, the same one whenever it is asked; raises DataError if there is
    none."""
    wrong = np.roll(np.arange(classes), -min(right) - 1)
    wrong = wrong[~np.isin(wrong, list(right))]
    if not len(wrong):
        raise DataError(f"{name}: all {classes} classes are right, none is wrong")
    digest = hashlib.sha256(name.encode()).digest()[9:13]
    return int(wrong[int.from_bytes(digest, "big") % len(wrong)])


def _kind(folder: Path) -> Kind:
    if any(folder.glob("annotations/instances_*.json")):
        return "COCO"
    images = (folder / "images").is_dir()
    if images and (folder / "annotations.json").is_file() and (folder / "class_names.json").is_file():
        return "labelled"
    if images and (folder / "masks").is_dir():
        return "masks"
    known = {"images", "masks", "annotations"}
    folders = [path for path in folder.iterdir() if path.is_dir()]
    if folders and not known & {path.name for path in folders} and any(map(_has_picture, folders)):
        return "class folders"
    raise DataError(f"{folder}: expected {', or '.join(FORMATS.values())}")


def _has_picture(folder: Path) -> bool:
    return any(path.suffix.lower() in object_formats.PICTURES for path in folder.iterdir())


def _split(folder: Path, split: str | None) -> str:
    """The split that is asked for, or the usual one, or the only one. Raises DataError."""
    files = sorted((folder / "annotations").glob("instances_*.json"))
    there = [path.stem.removeprefix("instances_") for path in files]
    if split in there:
        return split
    if split is None and (USUAL_SPLIT in there or len(there) == 1):
        return USUAL_SPLIT if USUAL_SPLIT in there else there[0]
    asked = "name a split" if split is None else f"no split {split!r} in {folder}"
    raise DataError(f"{asked}: its splits are {', '.join(there)}")
