"""The files of a data folder with sentences: which there are for a split, and what is in them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gazeback.models.errors import DataError


def annotation_files(folder: Path, split: str) -> list[Path]:
    """The files that say where the words of a split are. Raises DataError."""
    kinds = ("captions", "instances") if is_coco(folder, split) else ("phrases",)
    return [split_file(folder, split, kind) for kind in kinds]


def digest(files: Iterable[Path]) -> str:
    """sha256 of the contents of files."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def is_coco(folder: Path, split: str) -> bool:
    """Whether the folder has no phrases of that split, but COCO's captions and instances."""
    coco = (folder / "annotations" / f"{kind}_{split}.json" for kind in ("captions", "instances"))
    return not (folder / f"phrases_{split}.json").is_file() and all(path.is_file() for path in coco)


def read_json(path: Path) -> Any:
    """The contents of a JSON file; raises DataError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def split_file(folder: Path, split: str, kind: str) -> Path:
    """`KIND_SPLIT.json` in the folder or in its `annotations/`; raises DataError that names the splits there
    are."""
    if not folder.is_dir():
        raise DataError(f"no such data folder: {folder}")
    places = (folder, folder / "annotations")
    for place in places:
        if (place / f"{kind}_{split}.json").is_file():
            return place / f"{kind}_{split}.json"
    there = sorted(p.stem.removeprefix(f"{kind}_") for place in places for p in place.glob(f"{kind}_*.json"))
    hint = f"its splits are {', '.join(there)}" if there else f"it has no {kind}_SPLIT.json"
    raise DataError(f"no {kind}_{split}.json in {folder}: {hint}")
