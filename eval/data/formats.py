"""The data folders that images with objects are read from, each by a function.

They raise DataError where the format is wrong. What is wrong in single annotations is counted under its
reason and left out.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.data.coco import read_objects
from gazeback.eval.data.files import read_json
from gazeback.eval.data.image import Object, ObjectImage, checked_box, unique
from gazeback.eval.data.selection import Part, select
from gazeback.eval.metrics.maps import boxes_mask
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
    """The photos of a folder in the order of their names' hashes.

    `skipped` counts what is wrong with single annotations, which are left out; `digest` stands for all that
    was read.
    """

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
        self.skipped: Counter[str] = Counter()
        found = (
            _image(entry, folder / "images", path, len(self.class_names), self.skipped) for entry in entries
        )
        images = _without_duplicates([image for image in found if image is not None], self.skipped)
        self.digest = _digest(images)
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


def _image(
    entry: Any, folder: Path, source: Path, classes: int, skipped: Counter[str]
) -> LabelledImage | None:
    """An image; None, counted, if it has no box or its label is no class. Raises DataError for a wrong
    format."""
    try:
        name, label = str(entry["file_name"]), int(entry["label"])
        boxes = _inside(_shares(entry["boxes"], entry), skipped)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{source}: an image needs file_name, width, height, label, boxes [x, y, w, h]; {_name(entry)}: "
            f"{error!r}"
        ) from None
    if not 0 <= label < classes:
        skipped["label that is no class"] += 1
    elif not len(boxes):
        skipped["image without a box"] += 1
    elif not (folder / name).exists():
        skipped["missing image"] += 1
    else:
        return LabelledImage(name, folder / name, label, boxes)
    return None


def _without_duplicates(images: Sequence[LabelledImage], skipped: Counter[str]) -> list[LabelledImage]:
    first: dict[str, LabelledImage] = {}
    for image in images:
        skipped["duplicated image"] += image.file_name in first
        first.setdefault(image.file_name, image)
    return list(first.values())


def _digest(images: Sequence[LabelledImage]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.file_name} {image.label} {image.boxes.tolist()}".encode())
    return digest.hexdigest()[:16]


def _shares(boxes: Sequence[Sequence[float]], entry: Any) -> np.ndarray:
    """Boxes in pixels as shares of the photo's sides, float [n, 4]."""
    sides = np.array([entry["width"], entry["height"]] * 2, float)
    found = np.array(boxes, float).reshape(-1, 4)
    if not (sides > 0).all() or not np.isfinite(found).all():
        raise ValueError("the sides of a photo must be above 0, and a box has four numbers")
    return found / sides


def _inside(boxes: np.ndarray, skipped: Counter[str]) -> np.ndarray:
    """The boxes float [n, 4], as shares of the photo's sides, that have an area and lie on the photo."""
    empty = (boxes[:, 2:] <= 0).any(axis=1)
    outside = ~empty & ((boxes[:, :2] >= 1) | (boxes[:, :2] + boxes[:, 2:] <= 0)).any(axis=1)
    skipped["empty box"] += int(empty.sum())
    skipped["box outside the photo"] += int(outside.sum())
    return boxes[~empty & ~outside]


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


PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

USUAL_SPLIT = "val2017"


@dataclass(frozen=True)
class Read:
    """What a reader found in a folder.

    Attributes:
        images: all images, those without an object or a label too.
        class_names: what the labels of images count, or all categories.
        split: which one was read, where the folder has splits.
        ordered: whether the labels count a classifier's classes in their order; else the names say which.
    """

    images: list[ObjectImage]
    class_names: tuple[str, ...] = ()
    split: str | None = None
    ordered: bool = False


@dataclass(frozen=True)
class Format:
    """How one kind of data folder is recognised and read.

    Attributes:
        holds: what such a folder holds, in words.
        matches: whether a folder is of this kind.
        read: takes a folder, the split that is asked for and a counter of what is left out. Raises DataError.
    """

    holds: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, str | None, Counter[str]], Read]


def holding(*patterns: str) -> Callable[[Path], bool]:
    """A test of a folder: every pattern, as of `Path.glob`, finds something in it."""
    return lambda folder: all(any(folder.glob(pattern)) for pattern in patterns)


def read_coco(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """`annotations/instances_SPLIT.json` and the images in `SPLIT/`."""
    split = _coco_split(folder, split)
    found = read_objects(folder / "annotations" / f"instances_{split}.json", folder / split, skipped)
    return Read(list(found.images.values()), found.instances.categories, split)


def _coco_split(folder: Path, split: str | None) -> str:
    """The split that is asked for, or the usual one, or the only one. Raises DataError."""
    files = sorted((folder / "annotations").glob("instances_*.json"))
    there = [path.stem.removeprefix("instances_") for path in files]
    if split in there:
        return split
    if split is None and (USUAL_SPLIT in there or len(there) == 1):
        return USUAL_SPLIT if USUAL_SPLIT in there else there[0]
    asked = "name a split" if split is None else f"no split {split!r} in {folder}"
    raise DataError(f"{asked}: its splits are {', '.join(there)}")


def read_labelled(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """`images/`, `annotations.json` with `images[]`: `{file_name, width, height, label, boxes}`, and
    `class_names.json`, in the order of the labels.

    An image that was made smaller may have `original_width` and `original_height`: people annotated it in
    that size, and so all places are in its pixels.
    """
    names = read_json(folder / "class_names.json")
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise DataError(f"{folder / 'class_names.json'} must be a list of two or more class names")
    path = folder / "annotations.json"
    content = read_json(path)
    try:
        entries = unique(content["images"], lambda e: e["file_name"], "duplicated image", skipped)
        images = [_labelled_image(entry, folder / "images", names, skipped) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"{path} must be an object with images[]: file_name, width, height, label (0 to "
            f"{len(names) - 1}), boxes [x, y, w, h]; {error!r}"
        ) from None
    return Read(images, tuple(names), ordered=True)


def _labelled_image(entry: Any, folder: Path, names: list[str], skipped: Counter[str]) -> ObjectImage:
    name, label = str(entry["file_name"]), int(entry["label"])
    size = (int(entry["height"]), int(entry["width"]))
    original = (int(entry.get("original_height", size[0])), int(entry.get("original_width", size[1])))
    if not 0 <= label < len(names) or min(*size, *original) < 1:
        raise ValueError(f"{name}: label {label}, {size[0]} x {size[1]} pixels")
    boxes = [checked_box(box, size, skipped) for box in entry["boxes"]]
    scale = np.tile(np.divide(original, size)[::-1], 2)
    objects = tuple(
        Object(names[label], tuple((np.array(box) * scale).tolist())) for box in boxes if box is not None
    )
    return ObjectImage(name, folder / name, original, objects, label)


def read_masks(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """`images/` and `masks/` with the same names but for the ending; a folder in them is a category."""
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
    """A folder of images for each class, named as the class."""
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
    """The pictures in a folder and the folders in it, in order."""
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
"""The formats of data folders, by name: a folder is read as the first one that matches."""


def format_of(folder: Path) -> str:
    """The name of a folder's format. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"no such data folder: {folder}")
    found = next((name for name, one in FORMATS.items() if one.matches(folder)), None)
    if found is None:
        raise DataError(f"{folder}: expected {', or '.join(one.holds for one in FORMATS.values())}")
    return found
