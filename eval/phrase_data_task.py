"""What the tasks have in common that ask a captioner about sentences with phrases."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from gazeback.eval.captioner_task import CaptionerTask
from gazeback.eval.phrases_data import PhraseData
from gazeback.eval.selection import Part


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
