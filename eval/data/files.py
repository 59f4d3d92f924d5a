"""Find and read the files of a data folder with sentences."""

from collections.abc import Iterable
from pathlib import Path

from gazeback.models.contents import files_digest
from gazeback.models.errors import DataError


def annotation_files(folder: Path, split: str) -> list[Path]:
    """The files that say where the words of a split are. Raises DataError."""
    kinds = ("captions", "instances") if is_coco(folder, split) else ("phrases",)
    return [split_file(folder, split, kind) for kind in kinds]


def digest(files: Iterable[Path]) -> str:
    """Compute the sha256 of the contents of files."""
    return files_digest(files)


def is_coco(folder: Path, split: str) -> bool:
    """Whether the folder has COCO captions and instances of that split, and no phrases."""
    coco = (folder / "annotations" / f"{kind}_{split}.json" for kind in ("captions", "instances"))
    return not (folder / f"phrases_{split}.json").is_file() and all(path.is_file() for path in coco)


def split_file(folder: Path, split: str, kind: str) -> Path:
    """Find `KIND_SPLIT.json` in the folder or in its `annotations/`; raises DataError, which names the
    existing splits."""
    if not folder.is_dir():
        raise DataError(f"no such data folder: {folder}")
    places = (folder, folder / "annotations")
    for place in places:
        if (place / f"{kind}_{split}.json").is_file():
            return place / f"{kind}_{split}.json"
    there = sorted(p.stem.removeprefix(f"{kind}_") for place in places for p in place.glob(f"{kind}_*.json"))
    hint = f"its splits are {', '.join(there)}" if there else f"it has no {kind}_SPLIT.json"
    raise DataError(f"no {kind}_{split}.json in {folder}: {hint}")
