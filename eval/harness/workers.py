"""Measure batches of images in this process, in several processes, or on a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gazeback.eval.harness.task import Record, Task
from gazeback.grounding.workers import Workers, answered
from gazeback.models.errors import DataError, PhotoError

S = TypeVar("S")


@dataclass(frozen=True)
class Batch:
    """Images, and the methods that are missing on all of them."""

    names: Sequence[str]
    methods: Sequence[str]


@dataclass
class Measured:
    """The outcome of a batch: records `[image][method]`, and the reasons why other images cannot be used."""

    records: dict[str, Mapping[str, Record]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measuring:
    """Measures batches of a task."""

    task: Task[Any]

    def load(self) -> Any:
        """Load the task's subject. Raises UserError."""
        return self.task.subject()

    def answers(self, subject: Any, batch: Batch) -> list[Measured]:
        """The outcome of one batch."""
        return [measure(self.task, subject, batch)]


def measured(
    task: Task[S], subject: S, batches: Sequence[Batch], workers: Workers
) -> Iterator[tuple[Batch, Measured]]:
    """Yield every batch with its outcome, in order; each of several workers loads a subject of its own.
    Raises UserError if a method cannot be used."""
    for batch, (outcome,) in answered(Measuring(task), batches, workers, lambda: subject):
        yield batch, outcome


def measure(task: Task[S], subject: S, batch: Batch) -> Measured:
    """Measure a batch; if an image of it cannot be used, measure it again image by image."""
    try:
        return Measured(dict(task.measure(subject, batch.names, batch.methods)))
    except (PhotoError, DataError) as error:
        if len(batch.names) == 1:
            return Measured(unusable={batch.names[0]: str(error)})
    found = Measured()
    for name in batch.names:
        one = measure(task, subject, Batch([name], batch.methods))
        found.records |= one.records
        found.unusable |= one.unusable
    return found
