"""The base class of a task of `gazeback evaluate`: images, a record for each image and method, tables of
records.

A task is a small picklable object that holds the annotations, but no model. Its subject is loaded once in
each process that measures.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from gazeback.eval.harness.table import Table

Record = Mapping[str, Any]
"""The figures of one image and one method: JSON, only what tables, plots and rankings need."""

Records = Mapping[str, Mapping[str, Record]]
"""Records by method, then by image name; every image has all methods."""

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Example:
    """An image of the result page with the maps of each method.

    Attributes:
        photo: uint8 ``[H, W, 3]``.
        maps: float ``[h, w]`` by method, for the methods that have one.
        title: the question.
        values: the result of each method as text.
        boxes: the true boxes, ``[x, y, w, h]`` in photo pixels.
        mask: the true pixels, bool ``[H, W]``.
    """

    photo: np.ndarray
    maps: Mapping[str, np.ndarray]
    title: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    boxes: Sequence[Sequence[float]] = ()
    mask: np.ndarray | None = None


class Task(ABC, Generic[S]):
    """A measurement that can be run and resumed.

    ``S`` is its subject: a loaded model, and the maps of every method for it.
    """

    name: ClassVar[str]
    """The name on the command line."""
    batch: ClassVar[int] = 1
    """The number of images that `measure` gets at once."""

    @property
    @abstractmethod
    def methods(self) -> Sequence[str]:
        """The methods, including the baselines; images are ranked by the first."""

    @property
    def skipped(self) -> Counter[str]:
        """The reasons for which annotations are left out, counted."""
        return Counter()

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The images, each once, in the order of their names' hashes (`eval.data.selection.select`)."""

    @abstractmethod
    def cache_key(self) -> Mapping[str, Any]:
        """The annotations and settings that a record depends on. JSON."""

    @abstractmethod
    def files(self, name: str) -> Sequence[Path]:
        """The files of an image, whose contents its records depend on; none for a drawn image."""

    @abstractmethod
    def model_digest(self, subject: S) -> str:
        """A hash of the model, of its weights too (`gazeback.models.contents.digest`)."""

    @abstractmethod
    def subject(self) -> S:
        """Load the model. Raises UserError."""

    @abstractmethod
    def measure(
        self, subject: S, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        """Measure a batch of images: records `[image name][method]`.

        Raises PhotoError or DataError for an image that cannot be used. The batch is then measured again
        image by image, and this image is reported and skipped. An image for which the task has no question
        may be left out of the result: it is counted as "nothing to measure".
        """

    @abstractmethod
    def tables(self, records: Records) -> Sequence[Table]:
        """Compute the tables. Settings are chosen here on the tune part, and reported on the other images."""

    @abstractmethod
    def score(self, record: Record) -> float | None:
        """The number by which the page ranks images and shows distributions: larger is better."""

    def example(self, subject: S, name: str, methods: Sequence[str]) -> Example | None:
        """An image with its maps for the result page, or None if there is nothing to show."""
        return None

    def details(self, records: Records) -> Mapping[str, Any]:
        """Further content of the JSON file, besides tables and records."""
        return {}

    def write_pages(self, records: Records, stem: Path) -> Sequence[Path]:
        """Write further pages, named `STEM-....html`; returns their paths. Raises UserError."""
        return ()


def skipped_line(skipped: Mapping[str, int]) -> Iterable[str]:
    """One line on what was left out, or none."""
    counts = [f"{reason}: {count}" for reason, count in sorted(skipped.items()) if count]
    return ["left out: " + ", ".join(counts)] if counts else []
