"""Run a command in this process, and say what is wrong with how it ended."""

import os
import resource
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from gazeback.grounding.commands.main import gazeback

SECONDS, MEGABYTES = 60, 2048


def complaints(arguments: list[str], folder: Path, good: bool = False) -> list[str]:
    """What is wrong after a command in `folder`.

    It must end in exit 0, or in exit 2 with one or two lines, no traceback, nothing half-written, in time and
    within memory. `good`: it must end in exit 0.
    """
    before = _memory()
    started = time.perf_counter()
    with _inside(folder), _in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(gazeback, arguments)
    found = []
    if good and result.exit_code:
        found.append(f"exit {result.exit_code}: {result.stderr[-300:]}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        found.append(f"traceback: {type(result.exception).__name__}: {str(result.exception)[:200]}")
    elif result.exit_code not in (0, 2):
        found.append(f"exit {result.exit_code}")
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    is_help = result.stderr.startswith("Usage:")
    if result.exit_code == 2 and not 1 <= len(errors) <= 2 and not is_help:
        found.append(f"{len(errors)} lines of error: {result.stderr[:200]!r}")
    if any(len(line) > 1000 for line in lines):
        found.append("a line of more than 1000 letters")
    left = [path.name for path in folder.rglob("*") if ".tmp" in path.name or ".partial" in path.name]
    if left:
        found.append(f"left behind: {left}")
    if time.perf_counter() - started > SECONDS:
        found.append("too slow")
    if _memory() - before > MEGABYTES:
        found.append("too much memory")
    return found


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
