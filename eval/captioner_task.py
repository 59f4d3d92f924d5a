"""What the tasks that ask a captioner have in common: the data and which of it, and the captioner."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gazeback.eval.harness.task import Record
from gazeback.eval.selection import Part
from gazeback.grounding.coco_run import fingerprint
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.photos import load_photo, squeeze

Scale = tuple[float, float]
"""Input pixels per photo pixel, (x, y)."""


class Read(Protocol):
    """Annotations of photos."""

    digest: str
    """sha256 of the annotations."""
    skipped: Counter[str]


@dataclass(frozen=True)
class CaptionerTask(ABC):
    """The folder and which photos of it, and the captioner: None is the bundled one."""

    data: Path
    split: str = "dev"
    part: Part = "all"
    limit: int | None = None
    model: str | None = None

    @property
    @abstractmethod
    def read(self) -> Read:
        """The annotations, read once."""

    def about(self) -> dict[str, Any]:
        """The annotations and the captioner, files by their contents."""
        return {"data": self.read.digest, "split": self.split, "model": self._model()}

    def _model(self) -> str:
        if self.model is None:
            return "bundled"
        path = Path(self.model)
        return fingerprint(path) or self.model if path.is_file() else self.model

    def load(self) -> Captioner:
        """Raises ModelError."""
        return load_captioner(self.model)


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
