"""What a task of `gazeback evaluate` is: images, one record for each image and method, tables of the records.

A task is a small picklable object: reading it costs the annotations, no model. Where it is measured (in this
process, or in each of several workers) it is opened once, which loads the model.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from gazeback.eval.harness.table import Table

Record = Mapping[str, Any]
"""What is kept of one image and one method: JSON, no more than its tables, plots and rankings need."""

Records = Mapping[str, Mapping[str, Record]]
"""Records by method, then by image name; every image has all methods."""


@dataclass(frozen=True, eq=False)
class Shown:
    """An image of the result page: the photo uint8 [H, W, 3], one map float [h, w] for each method that has
    one, and what is right: boxes `[x, y, w, h]` in photo pixels and a mask bool [H, W].

    `title` says what was asked, `values` what each method reached.
    """

    photo: np.ndarray
    maps: Mapping[str, np.ndarray]
    title: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    boxes: Sequence[Sequence[float]] = ()
    mask: np.ndarray | None = None


class Measurer(Protocol):
    """A task with its model loaded."""

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        """The records `[image name][method]` of a batch of images.

        Raises PhotoError or DataError for an image that cannot be used: the batch is then taken again image
        by image, and the one is reported and skipped. An image that the task has no question to may be
        left out of the answer: it counts as skipped, "nothing to measure".
        """

    def show(self, name: str, methods: Sequence[str]) -> Shown | None:
        """An image with its maps for the result page, or None where there is nothing to see."""


class Task(Protocol):
    """A measurement that can be run, resumed and shown."""

    name: ClassVar[str]
    """As on the command line."""
    batch: ClassVar[int]
    """How many images `measure` is given at once."""

    @property
    def methods(self) -> Sequence[str]:
        """The methods, the baselines with them; the first is the one that images are ranked by."""

    @property
    def skipped(self) -> Counter[str]:
        """What is wrong with the annotations, counted: reasons for which something is left out."""

    def names(self) -> Sequence[str]:
        """The images, each once, in the order of their names' hashes (`eval.data.selection.select`)."""

    def about(self) -> Mapping[str, Any]:
        """All that a record depends on besides image, method and version: data, model, settings. JSON."""

    def open(self) -> Measurer:
        """Load the model."""

    def tables(self, records: Records) -> Sequence[Table]:
        """The figures. Settings are chosen on the tune part here and reported on the other."""

    def worth(self, record: Record) -> float | None:
        """What the page's distributions show and images are ranked by: larger is better."""

    def details(self, records: Records) -> Mapping[str, Any]:
        """More for the JSON file than the tables and records; may be empty."""


@runtime_checkable
class HasPages(Protocol):
    """A task that has more to show than the result page."""

    def write_pages(self, records: Records, stem: Path) -> Sequence[Path]:
        """Write pages named `STEM-....html`; returns their paths. Raises UserError."""


def skipped_line(skipped: Mapping[str, int]) -> Iterable[str]:
    """One line on what was left out, or none."""
    counts = [f"{reason}: {count}" for reason, count in sorted(skipped.items()) if count]
    return ["left out: " + ", ".join(counts)] if counts else []
