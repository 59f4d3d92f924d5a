"""Read photos with classes from a folder: a folder per class, annotations, or photos without classes.

Features are learned on some photos and measured on others. The part of a photo depends only on the names of
its folder and file. The same rule chose the sketches that the bundled classifier was not trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gazeback.eval.data.folder import ObjectData
from gazeback.eval.data.selection import select
from gazeback.models.errors import DataError
from gazeback.models.training.sketch_folder import ENDINGS, split_of

SPLIT_RULE = (
    "sha256 of class folder/file name: a fifth of the photos is measured on, the others are learned from"
)
FEWEST = 10
"""The fewest photos of a class to learn from, if the classes are annotated or predicted."""
LAYOUT = (
    "expected one folder of pictures per class (CLASS/*.png, or the same in train/), a folder with images/ "
    "and annotations.json, or pictures without folders, whose classes are then the predicted ones"
)


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos with their classes, and whether they are held out for measuring.

    paths: n files. held_out: bool [n]. classes: names. labels: int [n], numbers of `classes`, -1 for a photo
    that is not used; None if the folder has no classes.
    """

    paths: tuple[Path, ...]
    held_out: np.ndarray
    classes: tuple[str, ...] = ()
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)


def read_photos(folder: Path, limit: int | None = None) -> Photos:
    """Read the photos of a folder, the first by the hash of the name.

    At most `limit` of each class (or in all, if there are no classes) are for learning, and as many for
    measuring.

    Raises:
        DataError: the folder is missing or has another layout, or a class has no image for learning or
            measuring.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; {LAYOUT}")
    if (folder / "annotations.json").is_file():
        return _annotated(folder, limit)
    home = folder / "train" if (folder / "train").is_dir() else folder
    folders = [entry for entry in sorted(home.iterdir()) if entry.is_dir()]
    pictures = _pictures(home)
    if folders and pictures:
        raise DataError(
            f"{home} holds pictures beside folders ({pictures[0].name}, {folders[0].name}/); {LAYOUT}"
        )
    if folders:
        return _classes(home, folders, limit)
    if not pictures:
        raise DataError(f"{home} holds no pictures; {LAYOUT}")
    paths = _limited(pictures, limit)
    return Photos(tuple(paths), _held_out(paths))


def with_frequent_classes(photos: Photos, numbers: np.ndarray, names: Sequence[str]) -> Photos:
    """Keep the classes that are frequent enough; photos of other classes get none (-1).

    `numbers` int [n] are numbers of `names`, negative for a photo without a class. A class is kept if it has
    at least `FEWEST` photos to learn from and one to measure on. Raises DataError if fewer than two classes
    are kept.
    """
    learned = Counter(numbers[~photos.held_out].tolist())
    measured = set(numbers[photos.held_out].tolist())
    kept = sorted(n for n, count in learned.items() if n >= 0 and count >= FEWEST and n in measured)
    if len(kept) < 2:
        raise DataError(
            f"only {len(kept)} classes have {FEWEST} photos or more to learn from and one to measure on; "
            "name a folder with more photos of each class"
        )
    place = {number: label for label, number in enumerate(kept)}
    labels = np.array([place.get(number, -1) for number in numbers.tolist()])
    return replace(photos, classes=tuple(names[number] for number in kept), labels=labels)


def _classes(home: Path, folders: Sequence[Path], limit: int | None) -> Photos:
    paths: list[Path] = []
    labels: list[int] = []
    if len(folders) < 2:
        raise DataError(f"{home} holds one folder, {folders[0].name}/; {LAYOUT}")
    if not any(map(_pictures, folders)):
        raise DataError(f"{home} holds no folder of pictures ({folders[0].name}/ has none); {LAYOUT}")
    for label, entry in enumerate(folders):
        pictures = _pictures(entry)
        if not pictures:
            raise DataError(f"class {entry.name!r} has no image: {entry} is empty; add some or remove it")
        chosen = _limited(pictures, limit)
        parts = set(_held_out(chosen).tolist())
        if len(parts) < 2:
            missing = "to learn from" if parts == {True} else "to measure on (about one in five)"
            raise DataError(f"class {entry.name!r} has {len(pictures)} images, none {missing}; add more")
        paths += chosen
        labels += [label] * len(chosen)
    names = tuple(entry.name for entry in folders)
    return Photos(tuple(paths), _held_out(paths), names, np.array(labels))


def _annotated(folder: Path, limit: int | None) -> Photos:
    data = ObjectData(folder, need="labels")
    of_class: dict[int, list[Path]] = {}
    for image in data.images:
        if image.label is not None:
            of_class.setdefault(image.label, []).append(image.path)
    pairs = [(path, label) for label, paths in of_class.items() for path in _limited(paths, limit)]
    paths = tuple(path for path, _ in pairs)
    labels = np.array([label for _, label in pairs])
    try:
        return with_frequent_classes(Photos(paths, _held_out(paths)), labels, data.class_names)
    except DataError as error:
        raise DataError(f"{folder}: {error}, or {folder / 'images'} to use the predicted classes") from None


def _pictures(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in ENDINGS]


def _limited(paths: Sequence[Path], limit: int | None) -> list[Path]:
    """Keep at most `limit` of each part, the first by the hash of the name."""
    ordered = select(paths, [path.name for path in paths])
    held_out = _held_out(ordered)
    parts = [[path for path, held in zip(ordered, held_out, strict=True) if held == part] for part in (0, 1)]
    return [path for part in parts for path in part[:limit]]


def _held_out(paths: Iterable[Path]) -> np.ndarray:
    return np.array([split_of(path.parent.name, path.name) == "held-out" for path in paths])
