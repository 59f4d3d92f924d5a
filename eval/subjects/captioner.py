"""What the tasks that ask a captioner have in common: the data and which of it, and the captioner."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from gazeback.eval.baselines.short_routes import SHORT_ROUTES, Method, Question
from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.data.selection import Part
from gazeback.eval.harness.task import Record, Task
from gazeback.eval.harness.tuning import measured_part
from gazeback.eval.subjects.methods import EVIDENCE, chosen_methods, word_maps
from gazeback.grounding.coco.run import fingerprint
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.photos import load_photo, squeeze
from gazeback.models.vocabulary import Vocabulary


def teacher_forced(vocabulary: Vocabulary, captions: Sequence[Sequence[int]]) -> np.ndarray:
    """The inputs int32 [n, T] whose step t predicts word t of each caption, given as ids without start.

    T is the longest caption. Shorter rows are filled with end tokens: what follows a word cannot change it.
    """
    inputs = np.full((len(captions), max(map(len, captions))), vocabulary.end, np.int32)
    for row, ids in zip(inputs, captions, strict=True):
        row[: len(ids)] = [vocabulary.start, *ids[:-1]]
    return inputs


class CaptionerSubject:
    """A captioner, and the maps of every method for the words of its captions."""

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner
        self._short: dict[str, Method] = {}

    def maps(self, method: str, question: Question) -> np.ndarray:
        """float [n, size, size], non-negative, one map per word that the question is about.

        A method of `SHORT_ROUTES` goes by its shorter route, prepared when it is first asked for. Raises
        UserError for a method that cannot explain words.
        """
        if method not in SHORT_ROUTES:
            return word_maps(method, self.captioner, question)
        if method not in self._short:
            self._short[method] = SHORT_ROUTES[method](self.captioner)
        return self._short[method](question)

    def methods(self, names: Iterable[str]) -> dict[str, Method]:
        """The methods of these names, ready for questions."""
        return {name: partial(self.maps, name) for name in names}


Scale = tuple[float, float]
"""Input pixels per photo pixel, (x, y)."""


class Photos(Protocol):
    """Annotated photos: `PhraseData` or `CaptionData`."""

    digest: str
    skipped: Counter[str]
    images: list[Any]

    def names(self) -> list[str]:
        """Their file names."""


@dataclass(frozen=True)
class CaptionerTask(Task[CaptionerSubject]):
    """A question to a captioner about the photos of a folder.

    Attributes:
        data, split, part, limit: the folder, and which of its photos.
        model: the captioner's file; None is the bundled one.
        chosen: methods between commas.
    """

    data: Path
    split: str = "dev"
    part: Part = "all"
    limit: int | None = None
    model: str | None = None
    chosen: str = EVIDENCE

    @cached_property
    def methods(self) -> Sequence[str]:
        return chosen_methods(self.chosen)

    @cached_property
    @abstractmethod
    def read(self) -> Photos:
        """The annotations, read once."""

    @cached_property
    def images(self) -> Mapping[str, Any]:
        """The annotated photos by file name."""
        return {image.file_name: image for image in self.read.images}

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    def names(self) -> Sequence[str]:
        return self.read.names()

    def cache_key(self) -> dict[str, Any]:
        """The annotations and the captioner, files by their contents."""
        return {"data": self.read.digest, "split": self.split, "model": self._model()}

    def _model(self) -> str:
        if self.model is None:
            return "bundled"
        path = Path(self.model)
        return fingerprint(path) or self.model if path.is_file() else self.model

    def subject(self) -> CaptionerSubject:
        return CaptionerSubject(load_captioner(self.model))


@dataclass(frozen=True)
class PhraseTask(CaptionerTask):
    """A question about photos whose sentences' phrases have boxes or masks."""

    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part: it is measured even if only the other is reported."""

    @cached_property
    def read(self) -> PhraseData:
        part = measured_part(self.part, self.tunes)
        return PhraseData(self.data, self.split, part, self.limit)


def model_input(path: Path, size: int) -> tuple[np.ndarray, Scale]:
    """A photo as float32 [size, size, 3], and its scale. Raises PhotoError."""
    photo = load_photo(path)
    return squeeze(photo, size).pixels, (size / photo.width, size / photo.height)


def left_out(records: Iterable[Record]) -> Counter[str]:
    """What the records say they could not use, added up."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.get("left out", {}))
    return total


def first_of(records: Mapping[str, Mapping[str, Record]]) -> Mapping[str, Record]:
    """The records of the first method, by image."""
    return next(iter(records.values()))
