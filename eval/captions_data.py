"""Photos and what people say of them, from COCO's captions format: `captions_SPLIT.json`, photos in `SPLIT/`.

The file lies in the data folder or in its `annotations/`.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gazeback.eval.phrases_data import digest, read_json, split_file
from gazeback.eval.selection import Part, select
from gazeback.models.errors import DataError
from gazeback.models.vocabulary import tokenize

Caption = tuple[str, ...]
"""Tokenised as the captioner's own."""


@dataclass(frozen=True)
class CaptionedImage:
    """A photo, its number in the file, and the captions that people gave it, at least one."""

    id: Any
    file_name: str
    path: Path
    captions: tuple[Caption, ...]


class CaptionData:
    """The photos of a split in the order of their names' hashes; `skipped` counts what it cannot use."""

    def __init__(self, folder: Path, split: str, part: Part = "all", limit: int | None = None) -> None:
        """Raises DataError where folder, split or format are not as expected."""
        self.skipped: Counter[str] = Counter()
        file = split_file(folder, split, "captions")
        self.digest = digest([file])
        everything = read_captions(file, folder / split, self.skipped)
        self.everything = select(everything, [image.file_name for image in everything])
        """All photos of the split with captions, of whatever part, there or not."""
        chosen = select(everything, [image.file_name for image in everything], part, limit)
        self.images = [image for image in chosen if image.path.is_file()]
        self.skipped["missing image"] += len(chosen) - len(self.images)
        if not self.images:
            raise DataError(
                f"no photo with captions in the {part} part of split {split!r} of {folder}; "
                f"{self.skipped['missing image']} are missing"
            )

    def names(self) -> list[str]:
        return [image.file_name for image in self.images]


def read_captions(file: Path, photos: Path, skipped: Counter[str]) -> list[CaptionedImage]:
    """The images of a captions file, each once, with their captions. Raises DataError."""
    content = read_json(file)
    try:
        entries = _each_once(content["images"], skipped)
        captions: dict[Any, list[Caption]] = {number: [] for number in entries}
        for annotation in content["annotations"]:
            words = tuple(tokenize(annotation["caption"]))
            if annotation["image_id"] not in captions:
                skipped["caption of an unknown image"] += 1
            elif not words:
                skipped["empty caption"] += 1
            else:
                captions[annotation["image_id"]].append(words)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: not a COCO captions file ({type(error).__name__}: {error})") from None
    skipped["image without a caption"] += sum(not said for said in captions.values())
    return [
        CaptionedImage(number, name, photos / name, tuple(captions[number]))
        for number, name in entries.items()
        if captions[number]
    ]


def _each_once(images: Any, skipped: Counter[str]) -> dict[Any, str]:
    """File names by id; what comes again under its id or name is counted."""
    found: dict[Any, str] = {}
    names: set[str] = set()
    for image in images:
        if image["id"] in found or image["file_name"] in names:
            skipped["duplicated image"] += 1
            continue
        found[image["id"]] = image["file_name"]
        names.add(image["file_name"])
    return found
