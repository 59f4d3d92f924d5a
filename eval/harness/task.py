"""What a task of `gazeback evaluate` is: images, one record for each image and method, tables of the records.

A task is a small picklable object: reading it costs the annotations, no model. Where it is measured (in this
process, or in each of several workers) its subject is loaded once.
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
"""What is kept of one image and one method: JSON, no more than its tables, plots and rankings need."""

Records = Mapping[str, Mapping[str, Record]]
"""Records by method, then by image name; every image has all methods."""

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Example:
    """An image of the result page with the maps of each method.

    Attributes:
        photo: uint8 ``[H, W, 3]``.
        maps: float ``[h, w]`` by method, of those that have one.
        title: what was asked.
        values: what each method reached.
        boxes: where the right answer is, ``[x, y, w, h]`` in photo pixels.
        mask: where the right answer is, bool ``[H, W]``.
    """

    photo: np.ndarray
    maps: Mapping[str, np.ndarray]
    title: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    boxes: Sequence[Sequence[float]] = ()
    mask: np.ndarray | None = None


class Task(ABC, Generic[S]):
    """A measurement that can be run, resumed and shown.

    ``S`` is its subject: a loaded model, and the maps of every method for it.
    """

    name: ClassVar[str]
    """As on the command line."""
    batch: ClassVar[int] = 1
    """How many images `measure` is given at once."""

    @property
    @abstractmethod
    def methods(self) -> Sequence[str]:
        """The methods, the baselines with them; the first is the one that images are ranked by."""

    @property
    def skipped(self) -> Counter[str]:
        """What is wrong with the annotations, counted: reasons for which something is left out."""
        return Counter()

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The images, each once, in the order of their names' hashes (`eval.data.selection.select`)."""

    @abstractmethod
    def cache_key(self) -> Mapping[str, Any]:
        """All that a record depends on besides image, method and version: data, model, settings. JSON."""

    @abstractmethod
    def subject(self) -> S:
        """Load the model. Raises UserError."""

    @abstractmethod
    def measure(
        self, subject: S, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        """The records `[image name][method]` of a batch of images.

        Raises PhotoError or DataError for an image that cannot be used: the batch is then taken again image
        by image, and the one is reported and skipped. An image that the task has no question to may be
        left out of the answer: it counts as skipped, "nothing to measure".
        """

    @abstractmethod
    def tables(self, records: Records) -> Sequence[Table]:
        """The figures. Settings are chosen on the tune part here and reported on the other."""

    @abstractmethod
    def score(self, record: Record) -> float | None:
        """What the page's distributions show and images are ranked by: larger is better."""

    def example(self, subject: S, name: str, methods: Sequence[str]) -> Example | None:
        """An image with its maps for the result page, or None where there is nothing to see."""
        return None

    def details(self, records: Records) -> Mapping[str, Any]:
        """More for the JSON file than the tables and records."""
        return {}

    def write_pages(self, records: Records, stem: Path) -> Sequence[Path]:
        """Write further pages, named `STEM-....html`; returns their paths. Raises UserError."""
        return ()


def skipped_line(skipped: Mapping[str, int]) -> Iterable[str]:
    """One line on what was left out, or none."""
    counts = [f"{reason}: {count}" for reason, count in sorted(skipped.items()) if count]
    return ["left out: " + ", ".join(counts)] if counts else []
