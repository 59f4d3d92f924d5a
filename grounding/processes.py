"""Answer batches in several processes on this machine, which each load the model once."""

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, Protocol, TypeVar

from gazeback.grounding.commands.quiet import quietly
from gazeback.models.errors import UserError

L = TypeVar("L")
B = TypeVar("B")
B_contra = TypeVar("B_contra", contravariant=True)
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

AHEAD = 3
"""The number of batches under way for each worker, so that none is idle and memory is bounded."""

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
"""The environment variables for the number of threads, which backends read when they are loaded."""


class Job(Protocol[L, B_contra, A_co]):
    """The work on batches. Small and picklable: the model is loaded where the work is done."""

    def load(self) -> L:
        """Load the model. Raises UserError."""
        ...

    def answers(self, loaded: L, batch: B_contra) -> Iterable[A_co]:
        """The answers to one batch."""
        ...


def answered_by_processes(
    job: Job[Any, B, A], batches: Sequence[B], count: int
) -> Iterator[tuple[B, list[A]]]:
    """Yield every batch with its answers, in order; see `gazeback.grounding.workers.answered`."""
    running: deque[tuple[B, Future[list[A]]]] = deque()
    with (
        _threads_each(count),
        ProcessPoolExecutor(count, get_context("spawn"), quietly, (pickle.dumps((_start, job)),)) as pool,
    ):
        try:
            for batch in batches:
                running.append((batch, pool.submit(_work, batch)))
                if len(running) == AHEAD * count:
                    first, answers = running.popleft()
                    yield first, answers.result()
            while running:
                first, answers = running.popleft()
                yield first, answers.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process ended unexpectedly (out of memory?); what is finished is kept: run again, "
                "with fewer --workers"
            ) from error
        except BaseException:  # Ctrl-C or SIGTERM: nothing that is under way is waited for
            _end(pool)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.terminate()


@contextmanager
def _threads_each(workers: int) -> Iterator[None]:
    """Limit the threads of each worker, so that together they use all cores."""
    before = {name: os.environ.get(name) for name in THREADS}
    each = str(max(1, (os.cpu_count() or 1) // workers))
    os.environ.update({name: each for name in THREADS if before[name] is None})
    try:
        yield
    finally:
        for name in THREADS:
            if before[name] is None:
                os.environ.pop(name, None)


_opened: tuple[Job[Any, Any, Any], Any] | None = None
"""The job of a worker process, and what it has loaded."""


def _start(job: Job[Any, Any, Any]) -> None:
    global _opened
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; this one's parent ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opened = job, job.load()


def _end_with_parent() -> None:
    """End this worker if its parent is killed; it would otherwise wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: Any) -> list[Any]:
    assert _opened is not None
    job, loaded = _opened
    return list(job.answers(loaded, batch))
