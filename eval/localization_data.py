"""Photos with the class and the boxes of one object (as the ImageNet localisation task has them).

A data folder holds `images/`, `annotations.json` with `images[]`: `{file_name, width, height, label, boxes}`,
`class_names.json`, a list in the order of the labels, and, if somebody published boxes for these images,
`published_boxes.json` with `boxes[network][file_name]`: `{predicted_label, box}`. Boxes are `[x, y, w, h]` in
pixels of the stored photo.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.metrics import boxes_mask
from gazeback.eval.phrases_data import read_json
from gazeback.eval.selection import Part, select
from gazeback.models.classifiers import Classifier
from gazeback.models.errors import DataError
from gazeback.models.photos import load_photo

BATCH = 16
WRONG_CLASS_RULE = "sha256 of the file name, bytes 9-12, modulo the number of wrong classes"


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A photo's name and file, its class, and float [n, 4] boxes `[x, y, w, h]` as shares of its sides."""

    file_name: str
    path: Path
    label: int
    boxes: np.ndarray

    def boxes_on(self, height: int, width: int) -> np.ndarray:
        """The boxes, float [n, 4], in pixels of the photo squeezed to that size."""
        return self.boxes * [width, height, width, height]

    def wrong_class(self, classes: int) -> int:
        """A class that is not the image's, the same one whenever it is asked."""
        digest = hashlib.sha256(self.file_name.encode()).digest()[9:13]
        return (self.label + 1 + int.from_bytes(digest, "big") % (classes - 1)) % classes


@dataclass(frozen=True, eq=False)
class Published:
    """What somebody published for one image: the predicted class, and a box as shares of its sides."""

    predicted: int
    box: np.ndarray


@dataclass(frozen=True, eq=False)
class Batch:
    """Images as a model reads them: `pixels` float32 [n, height, width, channels]."""

    images: list[LabelledImage]
    pixels: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int [n]."""
        return np.array([image.label for image in self.images])

    def masks(self) -> np.ndarray:
        """bool [n, height, width]: the pixels of each image inside any of its boxes."""
        height, width = self.pixels.shape[1:3]
        return np.stack([boxes_mask(i.boxes_on(height, width).tolist(), height, width) for i in self.images])


class LocalizationData:
    """The photos of a folder in the order of their names' hashes."""

    def __init__(self, folder: Path, part: Part = "all", limit: int | None = None) -> None:
        """Reads the annotations. Raises DataError where the folder or a file is not as expected."""
        for wanted in (folder, folder / "images", folder / "annotations.json", folder / "class_names.json"):
            if not wanted.exists():
                raise DataError(
                    f"no {wanted}; the data folder must hold images/, annotations.json, class_names.json"
                )
        self.class_names = _class_names(folder / "class_names.json")
        path = folder / "annotations.json"
        content = read_json(path)
        entries = content.get("images") if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path} must be an object with a list `images`")
        images = [_image(entry, folder / "images", path, len(self.class_names)) for entry in entries]
        self.images = select(images, [image.file_name for image in images], part, limit)
        if not self.images:
            raise DataError(f"no image in the {part} part of {folder}")
        self.published = _published(folder / "published_boxes.json", entries)

    def __len__(self) -> int:
        return len(self.images)

    def check_fits(self, classifier: Classifier) -> None:
        """Raises DataError unless the classifier has as many classes as the folder names."""
        if len(classifier.class_names) != len(self.class_names):
            raise DataError(
                f"class_names.json names {len(self.class_names)} classes, {classifier.name} has "
                f"{len(classifier.class_names)}: name a classifier of the same classes"
            )

    def batches(self, classifier: Classifier, size: int = BATCH) -> Iterator[Batch]:
        """The photos as the classifier reads them, `size` at a time. Raises PhotoError."""
        for start in range(0, len(self.images), size):
            yield read(self.images[start : start + size], classifier)


def read(images: list[LabelledImage], classifier: Classifier) -> Batch:
    """Photos as the classifier reads them. Raises PhotoError."""
    return Batch(images, np.stack([classifier.preprocess(load_photo(i.path)).pixels for i in images]))


def _class_names(path: Path) -> list[str]:
    names = read_json(path)
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} must be a list of two or more class names")
    return names


def _image(entry: Any, folder: Path, source: Path, classes: int) -> LabelledImage:
    try:
        name, label = str(entry["file_name"]), int(entry["label"])
        boxes = _shares(entry["boxes"], entry)
        if not len(boxes) or not 0 <= label < classes:
            raise ValueError(f"expected one box or more and a label from 0 to {classes - 1}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{source}: an image needs file_name, width, height, label, boxes [x, y, w, h]; {_name(entry)}: "
            f"{error!r}"
        ) from None
    return LabelledImage(name, folder / name, label, boxes)


def _shares(boxes: Sequence[Sequence[float]], entry: Any) -> np.ndarray:
    """Boxes in pixels as shares of the photo's sides, float [n, 4]."""
    sides = np.array([entry["width"], entry["height"]] * 2, float)
    found = np.array(boxes, float).reshape(-1, 4) / sides
    if not (sides > 0).all() or not np.isfinite(found).all() or not (found[:, 2:] > 0).all():
        raise ValueError("sides must be above 0")
    return found


def _name(entry: Any) -> str:
    return str(entry.get("file_name", "without a name")) if isinstance(entry, dict) else repr(entry)[:40]


def _published(path: Path, entries: list[dict[str, Any]]) -> dict[str, dict[str, Published]]:
    """By network and file name; empty if there is no such file."""
    if not path.exists():
        return {}
    by_name = {entry["file_name"]: entry for entry in entries}
    try:
        return {
            network: {
                name: Published(int(row["predicted_label"]), _shares([row["box"]], by_name[name])[0])
                for name, row in rows.items()
                if name in by_name
            }
            for network, rows in read_json(path)["boxes"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} must hold boxes[network][file_name] = {{predicted_label, box}}: {error!r}"
        ) from None
