"""Choose the images of a data folder that a task can use, and their order; the folder may have any format."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from gazeback.eval.data.formats import FORMATS, format_of
from gazeback.eval.data.image import ObjectImage, unique
from gazeback.eval.data.selection import Part, select
from gazeback.models.errors import DataError
from gazeback.models.reading import is_file

WRONG_CLASS_RULE = (
    "sha256 of the file name, bytes 9-12, modulo the number of wrong classes, "
    "which are counted from the first right one on"
)

Need = Literal["objects", "masks", "labels"]

NEEDS: dict[Need, tuple[str, Callable[[ObjectImage], bool]]] = {
    "objects": ("an object", lambda image: bool(image.objects)),
    "masks": ("an object", lambda image: bool(image.objects) or image.mask_path is not None),
    "labels": ("a class", lambda image: image.label is not None),
}
"""The requirements of tasks on an image, in words, with a test whether an image has it."""


class ObjectData:
    """The images of a folder in one of the `FORMATS`, in the order of their names' hashes.

    Attributes:
        format: the name of the folder's format.
        split: the split that was read, if the folder has splits.
        class_names: the classes of the labels, or all categories.
        ordered: whether labels are indices of a classifier's classes; otherwise classes are matched by name.
        skipped: the number of left out annotations, by reason.
        digest: a hash of all annotations.
    """

    def __init__(
        self, folder: Path, split: str | None = None, part: Part = "all", limit: int | None = None,
        need: Need | None = "objects",
    ) -> None:  # fmt: skip
        """Read the annotations. Images without a required annotation are left out. Raises DataError."""
        self.folder, self.skipped = folder, Counter[str]()
        self.format = format_of(folder)
        read = FORMATS[self.format].read(folder, split, self.skipped)
        self.class_names, self.split, self.ordered = read.class_names, read.split, read.ordered
        images = unique(read.images, lambda image: image.name, "duplicated image", self.skipped)
        images = [image for image in images if self._is_usable(image, need)]
        self.digest = _digest(images, read.class_names)
        self.images = select(images, [image.name for image in images], part, limit)
        if not self.images:
            counts = ", ".join(f"{reason}: {count}" for reason, count in self.skipped.items() if count)
            told = f" ({counts})" if counts else ""
            holds = FORMATS[self.format].holds
            raise DataError(f"no image in the {part} part of {folder}, read as {holds}{told}")
        self._by_name = {image.name: image for image in self.images}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, name: str) -> ObjectImage:
        return self._by_name[name]

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def _is_usable(self, image: ObjectImage, need: Need | None) -> bool:
        reason = _lack(image, need)
        if reason:
            self.skipped[reason] += 1
        return not reason


def _lack(image: ObjectImage, need: Need | None) -> str:
    """The reason why a task cannot use an image; "" if it can."""
    if not is_file(image.path):
        return "missing image"
    return "" if need is None or NEEDS[need][1](image) else f"image without {NEEDS[need][0]}"


def _digest(images: Sequence[ObjectImage], class_names: Sequence[str]) -> str:
    """sha256 of the images' annotations and of the classes: 16 hex digits."""
    digest = hashlib.sha256(repr(tuple(class_names)).encode(errors="surrogatepass"))
    for image in sorted(images, key=lambda image: image.name):
        about = (image.name, image.size, image.original, image.label, image.objects)
        digest.update(repr(about).encode(errors="surrogatepass"))
    return digest.hexdigest()[:16]


def wrong_class(name: str, right: Collection[int], classes: int) -> int:
    """Choose a class that is not in the image, always the same one; raises DataError if there is none."""
    wrong = np.roll(np.arange(classes), -min(right) - 1)
    wrong = wrong[~np.isin(wrong, list(right))]
    if not len(wrong):
        raise DataError(f"{name}: all {classes} classes are right, none is wrong")
    digest = hashlib.sha256(os.fsencode(name)).digest()[9:13]
    return int(wrong[int.from_bytes(digest, "big") % len(wrong)])
