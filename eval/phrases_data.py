"""Where the phrases of sentences are on photos: boxes (Flickr30k Entities, Plummer et al. 2015) or masks.

A data folder holds `SPLIT/` with the photos and `phrases_SPLIT.json`: a list of `{file_name, sentences:
[{sentence, phrases: [{first_word, phrase, types, boxes}]}]}`; a sentence is tokens with spaces between them,
`first_word` counts them from 0, and boxes are `[x, y, w, h]` in pixels of the stored photo. A folder in
COCO's format will do as well (`gazeback.eval.coco_phrases`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.metrics import Box, boxes_mask
from gazeback.eval.selection import Part, select
from gazeback.models.errors import DataError
from gazeback.models.vocabulary import Vocabulary, tokenize


@dataclass(frozen=True)
class Phrase:
    """A phrase: its tokens `[first, last)` in the sentence, entity types, and boxes in photo pixels.

    `outlined` answers, where there is something better than boxes, with the mask bool [size, size] on the
    photo squeezed to that size.
    """

    text: str
    first: int
    last: int
    types: tuple[str, ...]
    boxes: tuple[Box, ...]
    outlined: Callable[[int], np.ndarray] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Sentence:
    tokens: tuple[str, ...]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class PhraseImage:
    file_name: str
    path: Path
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Words:
    """A sentence as the captioner reads it: vocabulary ids, and for each id the token it belongs to."""

    words: tuple[str, ...]
    ids: tuple[int, ...]
    token_of: tuple[int, ...]

    @classmethod
    def of(cls, sentence: Sentence, vocabulary: Vocabulary) -> "Words":
        """Punctuation vanishes and a token may become several words, so they are followed one by one."""
        pairs = [(word, i) for i, token in enumerate(sentence.tokens) for word in tokenize(token)]
        words = [word for word, _ in pairs]
        return cls(tuple(words), tuple(vocabulary.encode(words)), tuple(i for _, i in pairs))

    def last_known(self, phrase: Phrase, unknown: int) -> int | None:
        """Position of the phrase's last word that is in the vocabulary; None if it has none."""
        inside = [p for p, token in enumerate(self.token_of) if phrase.first <= token < phrase.last]
        return max((p for p in inside if self.ids[p] != unknown), default=None)


class PhraseData:
    """The photos of one split, in the order of their names' hashes; `skipped` counts what it cannot use."""

    def __init__(self, folder: Path, split: str, part: Part = "all", limit: int | None = None) -> None:
        """Reads the annotations. Raises DataError where folder, split or format are not as expected."""
        self.skipped: Counter[str] = Counter()
        self.digest = digest(_files(folder, split))
        self.everything = _read(folder, split, self.skipped)
        """All images of the split, of whatever part, there or not."""
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
        from gazeback.eval.coco_phrases import read_coco  # here, as it is built on this module

        return read_coco(folder, split, skipped)
    entries = _without_duplicates(_annotations(folder, split), skipped)
    return [_image(entry, folder / split) for entry in entries]


def _files(folder: Path, split: str) -> list[Path]:
    kinds = ("captions", "instances") if is_coco(folder, split) else ("phrases",)
    return [split_file(folder, split, kind) for kind in kinds]


def digest(files: Iterable[Path]) -> str:
    """sha256 of the contents of files."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def is_coco(folder: Path, split: str) -> bool:
    """Whether the folder has no phrases of that split, but COCO's captions and instances."""
    coco = (folder / "annotations" / f"{kind}_{split}.json" for kind in ("captions", "instances"))
    return not (folder / f"phrases_{split}.json").is_file() and all(path.is_file() for path in coco)


def phrase_mask(
    phrase: Phrase, scale: tuple[float, float], size: int, skipped: Counter[str]
) -> np.ndarray | None:
    """The union of a phrase's boxes in input pixels, bool [size, size]; None, counted, if they cover nothing.

    `scale` is input pixels per photo pixel (x, y). A box that covers no pixel's centre (it lies outside the
    photo, or is thinner than a pixel) is counted and left out.
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


def _annotations(folder: Path, split: str) -> list[dict[str, Any]]:
    path = split_file(folder, split, "phrases")
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) and _is_name(e) for e in entries):
        raise DataError(f"{path} must be a list of objects with file_name and sentences")
    return entries


def _is_name(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("file_name"), str) and isinstance(entry.get("sentences"), list)


def _without_duplicates(entries: list[dict[str, Any]], skipped: Counter[str]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for entry in entries:
        skipped["duplicated image"] += entry["file_name"] in first
        first.setdefault(entry["file_name"], entry)
    return list(first.values())


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
