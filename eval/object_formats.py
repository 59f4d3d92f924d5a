"""The data folders that images with objects are read from, each by a function.

They raise DataError where the format is wrong. What is wrong in single annotations is counted under its
reason and left out.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.metrics import Box
from gazeback.eval.objects import Object, ObjectImage, is_outline
from gazeback.eval.phrases_data import read_json
from gazeback.models.errors import DataError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

Read = tuple[list[ObjectImage], tuple[str, ...]]
"""The images, and the names of the classes that their labels count."""


def read_coco(folder: Path, split: str, skipped: Counter[str]) -> Read:
    """`annotations/instances_SPLIT.json` and the images in `SPLIT/`; images without an object count."""
    path = folder / "annotations" / f"instances_{split}.json"
    content = read_json(path)
    try:
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        entries = _unique(content["images"], lambda entry: entry["id"], "duplicated image", skipped)
        sizes = {entry["id"]: (int(entry["height"]), int(entry["width"])) for entry in entries}
        objects: dict[Any, list[Object]] = {entry["id"]: [] for entry in entries}
        annotations = _unique(content["annotations"], lambda e: e["id"], "duplicated annotation", skipped)
        for entry in annotations:
            if entry["image_id"] not in sizes or entry["category_id"] not in categories:
                skipped["annotation of no known image or category"] += 1
                continue
            found = _object(entry, categories, sizes[entry["image_id"]], skipped)
            if found is not None:
                objects[entry["image_id"]].append(found)
        images = [_coco_image(entry, folder / split, sizes, objects) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: not in COCO's instances format, an object with images (id, file_name, height, width), "
            f"annotations (id, image_id, category_id, bbox) and categories (id, name): {error!r}"
        ) from None
    return images, tuple(categories.values())


def _coco_image(
    entry: Any, folder: Path, sizes: Mapping[Any, tuple[int, int]], objects: Mapping[Any, list[Object]]
) -> ObjectImage:
    name, size = str(entry["file_name"]), sizes[entry["id"]]
    if min(size) < 1:
        raise ValueError(f"{name} is {size[0]} x {size[1]} pixels")
    return ObjectImage(name, folder / name, size, tuple(objects[entry["id"]]))


def _object(
    entry: Any, categories: Mapping[Any, str], size: tuple[int, int], skipped: Counter[str]
) -> Object | None:
    box = checked_box(entry["bbox"], size, skipped)
    outline = entry.get("segmentation") or None
    if box is None:
        return None
    if outline is not None and not is_outline(outline, size):
        skipped["outline that cannot be read"] += 1
        return None
    return Object(categories[entry["category_id"]], box, outline, bool(entry.get("iscrowd", 0)))


def read_labelled(folder: Path, skipped: Counter[str]) -> Read:
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
        entries = _unique(content["images"], lambda e: e["file_name"], "duplicated image", skipped)
        images = [_labelled_image(entry, folder / "images", names, skipped) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"{path} must be an object with images[]: file_name, width, height, label (0 to "
            f"{len(names) - 1}), boxes [x, y, w, h]; {error!r}"
        ) from None
    return images, tuple(names)


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


def read_masks(folder: Path, skipped: Counter[str]) -> Read:
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
    return images, ()


def read_class_folders(folder: Path, skipped: Counter[str]) -> Read:
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
    return images, tuple(names)


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders in it, in order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())


def checked_box(values: Any, size: tuple[int, int], skipped: Counter[str]) -> Box | None:
    """A box `[x, y, w, h]`; None, counted, where it is empty or wholly outside. Raises ValueError."""
    box = np.asarray(values, float)
    if box.shape != (4,):
        raise ValueError(f"a box is [x, y, w, h], this one is {values!r}")
    if not np.isfinite(box).all() or not (box[2:] > 0).all():
        skipped["empty box"] += 1
        return None
    if not boxes_overlap(box, size):
        skipped["box outside the image"] += 1
        return None
    return tuple(box.tolist())


def boxes_overlap(box: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a box shares any area with an image of (height, width)."""
    height, width = size
    return bool((box[:2] < (width, height)).all() and (box[:2] + box[2:] > 0).all())


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _unique(entries: Any, key: Callable[[Any], Any], reason: str, skipped: Counter[str]) -> list[Any]:
    first: dict[Any, Any] = {}
    for entry in entries:
        skipped[reason] += key(entry) in first
        first.setdefault(key(entry), entry)
    return list(first.values())
