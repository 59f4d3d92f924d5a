"""Answer batches on a Ray cluster: a worker for each GPU or CPU, which loads the model once.

A worker that is lost, alone or with its machine, is replaced, and its batch is given to another one.
"""

import logging
import os
import pickle
import signal
import socket
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from gazeback.grounding.commands.quiet import quietly
from gazeback.grounding.processes import AHEAD, THREADS, Job
from gazeback.models.contents import versions
from gazeback.models.errors import UserError

B = TypeVar("B")
A = TypeVar("A")

TRIES = 3
"""A batch during which so many workers were lost is not tried again."""

PATIENCE = 900.0
"""Seconds without any news from the workers after which the run is given up."""

KEPT = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
"""The environment variables that workers take over."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
}
"""No telemetry, and no message of Ray's own among the results."""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
"""Makes Ray take the loopback address as that of a machine, and give workers the priority of this process."""


def answered_on_cluster(
    job: Job[Any, B, A], batches: Sequence[B], address: str, count: int | None
) -> Iterator[tuple[B, list[A]]]:
    """Yield every batch with its answers, in order; see `gazeback.grounding.workers.answered`.

    address: ``HOST:PORT`` of a cluster of which this machine is a part, or "local". count: the number of
    workers.
    """
    ray = _connected(address)
    try:
        workers, share = _shares(ray.cluster_resources(), count)
        crew = _Crew(ray, job, min(workers, len(batches)), share)
        yield from crew.answered(batches)
    finally:
        ray.shutdown()


def _connected(address: str) -> Any:
    """Connect to a cluster, or start one on this machine that only this machine can reach.

    Without telemetry and dashboard. Returns the module `ray`.
    """
    local = address == "local"
    here = local or address.rpartition(":")[0] in ("localhost", "127.0.0.1", "::1")
    os.environ.update(QUIET | (LOOPBACK if here else {}))
    import ray

    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": os.cpu_count()} if local else {}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **own)
    except Exception as error:  # whatever Ray raises, such as a plain Exception where it starts too slowly
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"--ray {address}: cannot be joined ({reason})") from None
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process at once
    return ray


def _shares(resources: Mapping[str, float], count: int | None) -> tuple[int, dict[str, int]]:
    """The number of workers, and what each occupies: a GPU, or an equal part of the CPUs."""
    gpus, cpus = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
    most = gpus or cpus
    workers = most if count is None else min(count, most)
    return workers, {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": cpus // workers}


class _Crew:
    """The workers of a job. A worker is running from the moment it is hired, first loading the model."""

    def __init__(self, ray: Any, job: Job[Any, Any, Any], count: int, share: dict[str, int]) -> None:
        self.ray, self.count = ray, count
        self.job = ray.put(pickle.dumps((_opened, job)))
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env |= {name: str(share["num_cpus"]) for name in THREADS} | QUIET
        kind = ray.remote(max_restarts=0, max_task_retries=0, runtime_env={"env_vars": env}, **share)
        self.kind = kind(Worker)
        self.running: dict[Any, tuple[Any, int | None]] = {}
        self.idle: list[Any] = []
        self.lost: Counter[int | None] = Counter()

    def answered(self, batches: Sequence[Any]) -> Iterator[tuple[Any, list[Any]]]:
        """Yield every batch with its answers, in order."""
        for _ in range(self.count):
            self._hire()
        todo, found, given = deque(range(len(batches))), dict[int, list[Any]](), 0
        while given < len(batches):
            while self.idle and todo and todo[0] < given + AHEAD * self.count:
                worker, following = self.idle.pop(), todo.popleft()
                self.running[worker.answers.remote(batches[following])] = worker, following
            for done in self._news():
                worker, number = self.running.pop(done)
                try:
                    answers = self._result(done)
                except self.ray.exceptions.RayError as error:
                    self._replace(worker, number, error)
                    todo.extendleft([] if number is None else [number])
                    continue
                self.idle.append(worker)
                self.lost.pop(number, None)
                if number is None:
                    _check_equal(answers)
                else:
                    found[number] = answers
            while given in found:
                yield batches[given], found.pop(given)
                given += 1

    def _hire(self) -> None:
        worker = self.kind.remote(self.job, os.getcwd())
        self.running[worker.load.remote()] = worker, None

    def _news(self) -> list[Any]:
        done, _ = self.ray.wait(list(self.running), timeout=PATIENCE)
        if not done:
            raise UserError(
                f"--ray: no answer from any of {self.count} workers in {PATIENCE / 60:.0f} minutes (is the "
                "cluster busy?); what is finished is kept: run again"
            )
        return list(done)

    def _result(self, done: Any) -> Any:
        """What a worker returned. An error of the job itself is raised as it is."""
        try:
            return self.ray.get(done)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def _replace(self, worker: Any, number: int | None, error: Exception) -> None:
        self.lost[number] += 1
        if self.lost[number] >= TRIES * (1 if number is not None else self.count):
            what = "loading the model" if number is None else f"batch {number + 1}"
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"--ray: workers were lost again and again at {what} (out of memory?): {reason} What is "
                "finished is kept: run again, with fewer --workers"
            )
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(worker)
        self._hire()


def _check_equal(there: Mapping[str, str]) -> None:
    """Raise UserError if a worker has other versions of the libraries, with which results would differ."""
    different = [
        f"{name} {there.get(name)}, here {here}"
        for name, here in versions().items()
        if there.get(name) != here
    ]
    if different:
        raise UserError(f"--ray: a machine of the cluster has {'; '.join(different)}: install the same")


def _opened(job: Job[Any, Any, Any]) -> tuple[Job[Any, Any, Any], Any]:
    return job, job.load()


class Worker:
    """A process of the cluster: loads the model of a job, then answers batches."""

    def __init__(self, job: bytes, folder: str) -> None:
        self.pickled, self.folder = job, folder

    def load(self) -> dict[str, str]:
        """Load the model; returns the versions of the libraries. Raises UserError."""
        try:
            os.chdir(self.folder)
        except OSError:
            raise UserError(
                f"--ray: {socket.gethostname()} has no folder {self.folder}; photos, models and the folder "
                "where the command runs need the same path on every machine"
            ) from None
        self.job, self.loaded = quietly(self.pickled)
        return versions()

    def answers(self, batch: Any) -> list[Any]:
        """Answer one batch."""
        return list(self.job.answers(self.loaded, batch))
