"""Read a folder of sketches, one folder per class, and split it by the names of the files."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from gazeback.models.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
HELD_OUT, DEV = 0.2, 0.1  # fractions of all sketches
SPLITS = ("train", "dev", "held-out")


@dataclass(frozen=True)
class Sketches:
    """Sketches and, for each, the number of its class."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)


def read_sketch_folder(folder: str | Path) -> tuple[tuple[str, ...], dict[str, Sketches]]:
    """Return (class names, sketches by split): ``folder/CLASS/*.png``, or the same in ``folder/train``.

    A sketch's split depends on its class and file name alone: 20 % are held out to measure the accuracy, 10 %
    ("dev") decide when to stop. Raises DataError.
    """
    folder = Path(folder)
    if (folder / "train").is_dir():
        folder = folder / "train"
    classes, everything = read_class_folders(folder)
    found: dict[str, list[tuple[Path, int]]] = {name: [] for name in SPLITS}
    for path, label in zip(everything.paths, everything.labels, strict=True):
        found[split_of(classes[label], path.name)].append((path, label))
    for name, sketches in found.items():
        if not sketches:
            raise DataError(f"{folder}: too few sketches; none falls into the {name} split")
    splits = {
        name: Sketches(tuple(path for path, _ in rows), tuple(label for _, label in rows))
        for name, rows in found.items()
    }
    return classes, splits


def read_class_folders(folder: Path) -> tuple[tuple[str, ...], Sketches]:
    """Return (class names, all sketches) of ``folder/CLASS/*.png``. Raises DataError."""
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder; expected one folder of sketches per class")
    classes = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and _pictures(entry)]
    if len(classes) < 2:
        raise DataError(f"{folder}: expected at least two folders of sketches, one per class")
    rows = [(path, label) for label, entry in enumerate(classes) for path in _pictures(entry)]
    sketches = Sketches(tuple(path for path, _ in rows), tuple(label for _, label in rows))
    return tuple(entry.name for entry in classes), sketches


def split_of(class_name: str, file_name: str) -> str:
    """The split of one sketch: a hash of its names, read as a number in 0..1, compared with the fractions."""
    digest = hashlib.sha256(os.fsencode(f"{class_name}/{file_name}")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < HELD_OUT:
        return "held-out"
    return "dev" if place < HELD_OUT + DEV else "train"


def _pictures(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS]
