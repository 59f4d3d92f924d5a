"""Read the phrases of sentences with boxes (Flickr30k Entities, Plummer et al. 2015) or masks on photos.

A data folder has `SPLIT/` with the photos and `phrases_SPLIT.json`, a list of
`{file_name, sentences: [{sentence, phrases: [{first_word, phrase, types, boxes}]}]}`; a sentence is tokens
with spaces between them, `first_word` is an index from 0, and boxes are `[x, y, w, h]` in pixels of the
stored photo. A folder in COCO's format is also accepted (`gazeback.eval.data.coco`).
"""

from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.data.coco import read_phrases
from gazeback.eval.data.files import annotation_files, digest, is_coco, read_json, split_file
from gazeback.eval.data.image import Phrase, PhraseImage, Sentence, unique
from gazeback.eval.data.selection import Part, select
from gazeback.eval.metrics.maps import boxes_mask
from gazeback.models.errors import DataError


class PhraseData:
    """The photos of one split, in the order of their names' hashes; `skipped` counts unusable annotations."""

    def __init__(self, folder: Path, split: str, part: Part = "all", limit: int | None = None) -> None:
        """Read the annotations. Raises DataError if folder, split or format are not as expected."""
        self.skipped: Counter[str] = Counter()
        self.digest = digest(annotation_files(folder, split))
        self.everything = _read(folder, split, self.skipped)
        """All images of the split, of both parts, also missing ones."""
        chosen = select_images(self.everything, part, limit)
        self.images = [image for image in chosen if image.path.is_file()]
        self.skipped["missing image"] += len(chosen) - len(self.images)
        if not chosen:
            raise DataError(f"no image in the {part} part of split {split!r} of {folder}")
        if not self.images:
            raise DataError(f"{folder / split}: none of the {len(chosen)} photos is there")

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[PhraseImage]:
        return iter(self.images)

    def names(self) -> list[str]:
        return [image.file_name for image in self.images]


def select_images(images: list[PhraseImage], part: Part, limit: int | None) -> list[PhraseImage]:
    return select(images, [image.file_name for image in images], part, limit)


def _read(folder: Path, split: str, skipped: Counter[str]) -> list[PhraseImage]:
    if is_coco(folder, split):
        return read_phrases(folder, split, skipped)
    entries = unique(_annotations(folder, split), itemgetter("file_name"), "duplicated image", skipped)
    return [_image(entry, folder / split) for entry in entries]


def phrase_mask(
    phrase: Phrase, scale: tuple[float, float], size: int, skipped: Counter[str]
) -> np.ndarray | None:
    """The union of a phrase's boxes in input pixels, bool [size, size]; None, and counted, if they cover
    nothing.

    `scale` is input pixels per photo pixel (x, y). A box that covers no pixel's centre (outside the photo, or
    thinner than a pixel) is counted and left out.
    """
    if phrase.outlined is not None:
        mask = phrase.outlined(size)
        skipped["mask too small"] += not mask.any()
        return mask if mask.any() else None
    sx, sy = scale
    mask = np.zeros((size, size), bool)
    for x, y, w, h in phrase.boxes:
        box = boxes_mask([(x * sx, y * sy, w * sx, h * sy)], size, size)
        skipped["box outside the photo or too thin"] += not box.any()
        mask |= box
    if not phrase.boxes:
        skipped["phrase without a box"] += 1
    return mask if mask.any() else None


def _annotations(folder: Path, split: str) -> list[dict[str, Any]]:
    path = split_file(folder, split, "phrases")
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) and _is_name(e) for e in entries):
        raise DataError(f"{path} must be a list of objects with file_name and sentences")
    return entries


def _is_name(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("file_name"), str) and isinstance(entry.get("sentences"), list)


def _image(entry: dict[str, Any], folder: Path) -> PhraseImage:
    name = entry["file_name"]
    try:
        return PhraseImage(name, folder / name, tuple(_sentence(s) for s in entry["sentences"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the phrases of {name} are not in the expected format: {error!r}") from error


def _sentence(entry: dict[str, Any]) -> Sentence:
    return Sentence(tuple(entry["sentence"].split()), tuple(_phrase(p) for p in entry["phrases"]))


def _phrase(entry: dict[str, Any]) -> Phrase:
    first = int(entry["first_word"])
    last = first + len(entry["phrase"].split())
    boxes = tuple(tuple(float(v) for v in box) for box in entry["boxes"])
    if any(len(box) != 4 for box in boxes):
        raise ValueError("a box has four numbers, x, y, w, h")
    return Phrase(entry["phrase"], first, last, tuple(entry["types"]), boxes)
