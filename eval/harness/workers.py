"""Measure batches in this process, or in several processes that each load the model once."""

import os
import pickle
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from gazeback.eval.harness.task import Record, Task
from gazeback.grounding.commands.quiet import quietly
from gazeback.models.errors import DataError, PhotoError, UserError

S = TypeVar("S")

AHEAD = 2
"""The number of batches that wait for each worker, so that no worker is idle and memory is bounded."""


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


def measured(
    task: Task[S], subject: S, batches: Sequence[Batch], workers: int
) -> Iterator[tuple[Batch, Measured]]:
    """Yield every batch with its outcome as soon as it is ready; each of several workers loads a subject of
    its own. Raises UserError if a method cannot be used."""
    if not batches:
        return
    if workers == 1:
        for batch in batches:
            yield batch, measure(task, subject, batch)
    else:
        yield from _spread(task, batches, min(workers, len(batches)))


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


def _spread(task: Task[Any], batches: Sequence[Batch], workers: int) -> Iterator[tuple[Batch, Measured]]:
    waiting: Iterator[Batch] = iter(batches)
    running: dict[Future[Measured], Batch] = {}
    with (
        _threads_each(workers),
        ProcessPoolExecutor(workers, get_context("spawn"), quietly, (pickle.dumps((_start, task)),)) as pool,
    ):
        try:
            while True:
                for batch in islice(waiting, AHEAD * workers - len(running)):
                    running[pool.submit(_work, batch)] = batch
                if not running:
                    return
                for done in _first(running):
                    yield running.pop(done), done.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process ended unexpectedly (out of memory?); what is measured is kept: run again, "
                "with fewer --workers"
            ) from error
        except BaseException:  # Ctrl-C or SIGTERM: nothing that is being measured is waited for
            _end(pool)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _first(running: Iterable[Future[Measured]]) -> set[Future[Measured]]:
    return wait(running, return_when=FIRST_COMPLETED).done


@contextmanager
def _threads_each(workers: int) -> Iterator[None]:
    """Limit the threads of each worker, so that together they use all cores; the backend reads this when it
    is loaded."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    each = str(max(1, (os.cpu_count() or 1) // workers))
    os.environ.update({name: each for name in names if before[name] is None})
    try:
        yield
    finally:
        for name in names:
            if before[name] is None:
                os.environ.pop(name, None)


_opened: tuple[Task[Any], Any] | None = None
"""The task and the subject of a worker process."""


def _start(task: Task[Any]) -> None:
    global _opened
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; this one's parent ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opened = task, task.subject()


def _end_with_parent() -> None:
    """End this worker if its parent is killed; it would otherwise wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: Batch) -> Measured:
    assert _opened is not None
    return measure(*_opened, batch)
