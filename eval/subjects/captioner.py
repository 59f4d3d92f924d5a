"""The subject and the base class of tasks that measure a captioner."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from gazeback.eval.baselines.short_routes import GENERAL_ROUTES, SHORT_ROUTES, Method, Question
from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.data.selection import Part
from gazeback.eval.harness.task import Record, Task
from gazeback.eval.harness.tuning import measured_part
from gazeback.eval.subjects.methods import EVIDENCE, chosen_methods, word_maps
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.caption_generator import Words as Vocabulary
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.contents import digest
from gazeback.models.errors import UserError
from gazeback.models.photos import load_photo, squeeze


def teacher_forced(vocabulary: Vocabulary, captions: Sequence[Sequence[int]]) -> np.ndarray:
    """Make the inputs int32 [n, T] whose step t predicts word t of each caption; captions are ids without
    start.

    T is the length of the longest caption. Shorter rows are padded with end tokens (with the first word of a
    captioner that has none), which cannot change the words before them.
    """
    inputs = np.full((len(captions), max(map(len, captions))), max(vocabulary.end, 0), np.int32)
    for row, ids in zip(inputs, captions, strict=True):
        row[: len(ids)] = [vocabulary.start, *ids[:-1]]
    return inputs


class CaptionerSubject:
    """A captioner, and the maps of every method for the words of its captions."""

    def __init__(self, captioner: CaptionGenerator) -> None:
        self.captioner = captioner
        self._short: dict[str, Method] = {}

    def maps(self, method: str, question: Question) -> np.ndarray:
        """Compute the maps of the words of a question: float [n, size, size], non-negative.

        A method of `SHORT_ROUTES` uses its fast version, which is prepared at its first use. Of a wrapped
        captioner that is one of `GENERAL_ROUTES`. Raises UserError for a method that cannot explain words.
        """
        own = isinstance(self.captioner, Captioner)
        routes: Mapping[str, Callable[[Any], Method]] = SHORT_ROUTES if own else GENERAL_ROUTES
        if method not in routes:
            return word_maps(method, self.captioner, question)
        if method not in self._short:
            self._short[method] = routes[method](self.captioner)
        return self._short[method](question)

    def methods(self, names: Iterable[str]) -> dict[str, Method]:
        """The functions of these methods."""
        return {name: partial(self.maps, name) for name in names}


Scale = tuple[float, float]
"""Input pixels per photo pixel, (x, y)."""


class Photos(Protocol):
    """Annotated photos: `PhraseData` or `CaptionData`."""

    digest: str
    skipped: Counter[str]
    images: list[Any]

    def names(self) -> list[str]:
        """The file names of the photos."""


@dataclass(frozen=True)
class CaptionerTask(Task[CaptionerSubject]):
    """A task that measures a captioner on the photos of a folder.

    Attributes:
        data, split, part, limit: the folder, and the choice of its photos.
        model: the captioner's file, or "package.module:function"; None is the bundled one.
        chosen: methods between commas.
    """

    data: Path
    split: str = "dev"
    part: Part = "all"
    limit: int | None = None
    model: str | None = None
    chosen: str = EVIDENCE
    needs_mean: ClassVar[bool] = False
    """Whether the captioner must know the average picture."""

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
        return {"data": self.read.digest, "split": self.split, "model": self.model or "bundled"}

    def files(self, name: str) -> Sequence[Path]:
        return (self.images[name].path,)

    def model_digest(self, subject: CaptionerSubject) -> str:
        return digest(subject.captioner)

    def subject(self) -> CaptionerSubject:
        captioner: CaptionGenerator = load_captioner(self.model)
        if self.needs_mean and captioner.mean_features is None:
            raise UserError(
                f"{captioner.name} has no average picture, which {self.name} needs; pass mean=, some photos, "
                "to wrap_captioner"
            )
        return CaptionerSubject(captioner)


@dataclass(frozen=True)
class PhraseTask(CaptionerTask):
    """A task on photos with sentences whose phrases have boxes or masks."""

    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part; it is then always measured."""

    @cached_property
    def read(self) -> PhraseData:
        part = measured_part(self.part, self.tunes)
        return PhraseData(self.data, self.split, part, self.limit)


def model_input(path: Path, size: int) -> tuple[np.ndarray, Scale]:
    """Read a photo as float32 [size, size, 3], and its scale. Raises PhotoError."""
    photo = load_photo(path)
    return squeeze(photo, size).pixels, (size / photo.width, size / photo.height)


def left_out(records: Iterable[Record]) -> Counter[str]:
    """Add up what the records say they could not use."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.get("left out", {}))
    return total


def first_of(records: Mapping[str, Mapping[str, Record]]) -> Mapping[str, Record]:
    """The records of the first method, by image."""
    return next(iter(records.values()))
