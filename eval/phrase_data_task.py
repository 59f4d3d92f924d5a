"""What the tasks have in common that ask a captioner about sentences with phrases."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from gazeback.eval.captioner_task import CaptionerTask
from gazeback.eval.harness.task import Record
from gazeback.eval.phrases_data import PhraseData
from gazeback.eval.selection import Part
from gazeback.models.captioner import Captioner


@dataclass(frozen=True)
class PhraseDataTask(CaptionerTask):
    """The photos one at a time, with their annotations read once."""

    batch: ClassVar[int] = 1
    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part: it is measured even if only the other is reported."""

    @cached_property
    def read(self) -> PhraseData:
        part: Part = "all" if self.tunes and self.part != "tune" else self.part
        return PhraseData(self.data, self.split, part, self.limit)

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    def names(self) -> Sequence[str]:
        return self.read.names()


class OneAnswerMeasurer(ABC):
    """The captioner, and the photos; whatever the method, there is one record of a photo."""

    def __init__(self, captioner: Captioner, data: PhraseData) -> None:
        self.captioner = captioner
        self._images = {image.file_name: image for image in data}

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Record]]:
        return {name: dict.fromkeys(methods, self._record(name)) for name in names}

    @abstractmethod
    def _record(self, name: str) -> Record:
        """Raises PhotoError."""
