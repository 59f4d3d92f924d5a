"""What a measurement leaves behind: a JSON file; and the bar that shows how far it is."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gazeback.grounding.atomic import write_atomically
from gazeback.models.errors import UserError

T = TypeVar("T")


def check_writable(path: Path | None) -> None:
    """Before long work: raises UserError if a result could not be written there."""
    if path is not None and not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")


def write_result(path: Path, task: str, result: Mapping[str, Any]) -> None:
    """The result as JSON, complete or not at all, with the task and our version. Raises UserError."""
    content = {"task": task, "gazeback": version("gazeback"), **result}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def tracked(items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """The items, with a progress bar on the error stream that vanishes at the end."""
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total)
