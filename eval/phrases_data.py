"""Phrase boxes on photos (Flickr30k Entities, Plummer et al. 2015), read from `phrases_SPLIT.json`.

A data folder holds `SPLIT/` with the photos and `phrases_SPLIT.json`: a list of `{file_name, sentences:
[{sentence, phrases: [{first_word, phrase, types, boxes}]}]}`; a sentence is tokens with spaces between them,
`first_word` counts them from 0, and boxes are `[x, y, w, h]` in pixels of the stored photo.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.metrics import Box, boxes_mask
from gazeback.eval.selection import Part, select
from gazeback.models.errors import DataError, PhotoError
from gazeback.models.photos import load_photo, squeeze
from gazeback.models.vocabulary import Vocabulary, tokenize


@dataclass(frozen=True)
class Phrase:
    """A phrase: its tokens `[first, last)` in the sentence, entity types, and boxes in photo pixels."""

    text: str
    first: int
    last: int
    types: tuple[str, ...]
    boxes: tuple[Box, ...]


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
        annotations = _annotations(folder, split)
        entries = _without_duplicates(annotations, self.skipped)
        chosen = select(entries, [entry["file_name"] for entry in entries], part, limit)
        self.images = [_image(entry, folder / split) for entry in chosen]
        if not self.images:
            raise DataError(f"no image in the {part} part of split {split!r} of {folder}")

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[PhraseImage]:
        return iter(self.images)

    def photos(self, size: int) -> Iterator[tuple[PhraseImage, np.ndarray, tuple[float, float]] | None]:
        """One photo at a time: image, pixels float32 [size, size, 3], input pixels per photo pixel (x, y).

        None, counted in `skipped`, for a photo that is missing or cannot be read.
        """
        for image in self.images:
            if not image.path.exists():
                self.skipped["missing image"] += 1
                yield None
                continue
            try:
                photo = load_photo(image.path)
            except PhotoError:
                self.skipped["unreadable image"] += 1
                yield None
                continue
            yield image, squeeze(photo, size).pixels, (size / photo.width, size / photo.height)


def phrase_mask(
    phrase: Phrase, scale: tuple[float, float], size: int, skipped: Counter[str]
) -> np.ndarray | None:
    """The union of a phrase's boxes in input pixels, bool [size, size]; None, counted, if they cover nothing.

    `scale` is input pixels per photo pixel (x, y). A box that covers no pixel's centre (it lies outside the
    photo, or is thinner than a pixel) is counted and left out.
    """
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
    """`folder/KIND_SPLIT.json`; raises DataError that names the splits there are."""
    if not folder.is_dir():
        raise DataError(f"no such data folder: {folder}")
    path = folder / f"{kind}_{split}.json"
    if not path.is_file():
        there = sorted(p.stem.removeprefix(f"{kind}_") for p in folder.glob(f"{kind}_*.json"))
        hint = f"its splits are {', '.join(there)}" if there else f"it has no {kind}_SPLIT.json"
        raise DataError(f"no {path.name} in {folder}: {hint}")
    return path


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
