"""Read the phrases of sentences with boxes (Flickr30k Entities, Plummer et al. 2015) or masks on photos.

A data folder has `SPLIT/` with the photos and `phrases_SPLIT.json`, a list of
`{file_name, sentences: [{sentence, phrases: [{first_word, phrase, types, boxes}]}]}`; a sentence is tokens
with spaces between them, `first_word` is an index from 0, and boxes are `[x, y, w, h]` in pixels of the
stored photo. A folder in COCO's format is also accepted (`gazeback.eval.data.coco`).
"""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from gazeback.eval.data.coco import read_phrases
from gazeback.eval.data.files import annotation_files, digest, is_coco, split_file
from gazeback.eval.data.image import Phrase, PhraseImage, Sentence, unique
from gazeback.eval.data.selection import Part, select
from gazeback.eval.metrics.maps import boxes_mask
from gazeback.grounding.coco.annotations import FourNumbers
from gazeback.models.errors import DataError
from gazeback.models.reading import FileName, Known, is_file, read_json


class PhraseData:
    """The photos of one split, in the order of their names' hashes; `skipped` counts unusable annotations."""

    def __init__(self, folder: Path, split: str, part: Part = "all", limit: int | None = None) -> None:
        """Read the annotations. Raises DataError if folder, split or format are not as expected."""
        self.skipped: Counter[str] = Counter()
        self.digest = digest(annotation_files(folder, split))
        self.everything = _read(folder, split, self.skipped)
        """All images of the split, of both parts, also missing ones."""
        chosen = select_images(self.everything, part, limit)
        self.images = [image for image in chosen if is_file(image.path)]
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
    entries = unique(_annotations(folder, split), attrgetter("file_name"), "duplicated image", skipped)
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


class _PhraseEntry(Known):
    first_word: Annotated[int, Meta(ge=0)]
    phrase: str
    types: list[str]
    boxes: list[FourNumbers]


class _SentenceEntry(Known):
    sentence: str
    phrases: list[_PhraseEntry]


class _ImageEntry(Known):
    file_name: FileName
    sentences: list[_SentenceEntry]


EXPECTED = (
    "a list of images with file_name and sentences, each with sentence and phrases (first_word, phrase, "
    "types, boxes [x, y, w, h])"
)


def _annotations(folder: Path, split: str) -> list[_ImageEntry]:
    return read_json(split_file(folder, split, "phrases"), list[_ImageEntry], EXPECTED)


def _image(entry: _ImageEntry, folder: Path) -> PhraseImage:
    sentences = tuple(
        Sentence(tuple(one.sentence.split()), tuple(_phrase(p) for p in one.phrases))
        for one in entry.sentences
    )
    return PhraseImage(entry.file_name, folder / entry.file_name, sentences)


def _phrase(entry: _PhraseEntry) -> Phrase:
    last = entry.first_word + len(entry.phrase.split())
    return Phrase(entry.phrase, entry.first_word, last, tuple(entry.types), tuple(entry.boxes))
