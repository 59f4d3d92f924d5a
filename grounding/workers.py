"""Answer batches in this process, in several processes, or on a Ray cluster.

Each worker loads the model once. Answers come in the order of the batches, and only a few batches are under
way at a time, so that memory does not grow with their number.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeVar

from gazeback.grounding.processes import Job, answered_by_processes
from gazeback.models.errors import UserError

L = TypeVar("L")
B = TypeVar("B")
A = TypeVar("A")

WORKERS_HELP = (
    "The number of processes, each with its own copy of the model.  [default: 1; with --ray one for each "
    "GPU, or else for each CPU]"
)
RAY_METAVAR = "HOST:PORT|local"
RAY_HELP = "Work on this Ray cluster, or on one that is started on this machine."

CONNECTING = 5
"""Seconds in which the address of a cluster has to answer."""


@dataclass(frozen=True)
class Workers:
    """Where batches are answered.

    Attributes:
        count: the number of workers; None: one, or on a cluster one for each GPU, or else for each CPU.
        ray: the ``HOST:PORT`` of a Ray cluster, or ``"local"`` for one on this machine; None: no Ray.
    """

    count: int | None = None
    ray: str | None = None

    def check(self) -> None:
        """Raise UserError, before anything is loaded, if Ray is missing or its cluster does not answer."""
        if self.ray is None:
            return
        if find_spec("ray") is None:
            raise UserError("--ray needs Ray: pip install 'gazeback[ray]'")
        if self.ray == "local":
            return
        host, _, port = self.ray.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port[:6]) < 65536):
            raise UserError(
                f"--ray {self.ray}: expected local, or the HOST:PORT that `ray start --head` printed"
            )
        try:
            socket.create_connection((host, int(port)), CONNECTING).close()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            raise UserError(f"--ray {self.ray}: no Ray cluster there ({reason})") from None


HERE = Workers()
"""This process."""


def answered(
    job: Job[L, B, A], batches: Sequence[B], workers: Workers, load: Callable[[], L] | None = None
) -> Iterator[tuple[B, Iterable[A]]]:
    """Yield every batch with its answers, in order.

    load: used instead of the job's own if the batches are answered in this process, one answer at a time.

    Raises:
        UserError: the job cannot be done, or workers end unexpectedly.
    """
    if not batches:
        return
    if workers.ray is not None:
        from gazeback.grounding.cluster import answered_on_cluster  # brings Ray: seconds

        yield from answered_on_cluster(job, batches, workers.ray, workers.count)
    elif workers.count in (None, 1):
        loaded = (load or job.load)()
        for batch in batches:
            yield batch, job.answers(loaded, batch)
    else:
        yield from answered_by_processes(job, batches, min(workers.count or 1, len(batches)))
