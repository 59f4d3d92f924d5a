"""Store the records of a run: one line of JSON for each image and method, appended as soon as it is measured.

A line is keyed by task, version and everything else that the record depends on. So a second run measures only
what is missing, and never uses a figure of other data, another model or another version. A process that is
killed leaves at most one incomplete line, which is ignored.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gazeback.eval.harness.task import Record, Task
from gazeback.models.errors import UserError


def key_of(task: Task) -> str:
    """The name under which a task's records are kept: sha256 of task, version and `about`."""
    content = {"task": task.name, "gazeback": version("gazeback"), "about": dict(task.cache_key())}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def records_path(json_path: Path) -> Path:
    """The file of the records of a result, beside it."""
    return json_path.with_name(f"{json_path.stem}.records.jsonl")


class Records:
    """The records of one task, in memory and, with a path, in a file. None: there was nothing to measure."""

    def __init__(self, path: Path | None, key: str, fresh: bool = False) -> None:
        """Read the file's records under the key. `fresh`: delete the file instead. Raises UserError."""
        self._path, self._key = path, key
        self._found: dict[tuple[str, str], Record | None] = {}
        if path is None:
            return
        if fresh:
            path.unlink(missing_ok=True)
        for line in _lines(path):
            if line["key"] == key:
                self._found[line["image"], line["method"]] = line["record"]

    def missing(self, image: str, methods: Sequence[str]) -> tuple[str, ...]:
        """The methods that have not been measured on an image."""
        return tuple(method for method in methods if (image, method) not in self._found)

    def add(self, image: str, answers: Mapping[str, Record | None]) -> None:
        """Keep an image's records by method, on disk before this returns. Raises UserError."""
        lines = []
        for method, record in answers.items():
            self._found[image, method] = record
            lines.append({"key": self._key, "image": image, "method": method, "record": record})
        if self._path is not None:
            _append(self._path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))

    def by_method(self, images: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Record]]:
        """The records `[method][image]`, in the order of the images, of the images that every method was
        measured on."""
        complete = [name for name in images if all(self._found.get((name, m)) is not None for m in methods)]
        return {method: {name: self._found[name, method] or {} for name in complete} for method in methods}

    def empty(self, images: Sequence[str], methods: Sequence[str]) -> int:
        """The number of images on which there was nothing to measure."""
        return sum(any(self._found.get((name, m), {}) is None for m in methods) for name in images)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:  # incomplete: the process was killed while it wrote
                    continue
                if isinstance(line, dict) and {"key", "image", "method", "record"} <= set(line):
                    yield line
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _append(path: Path, text: str) -> None:
    try:
        with path.open("ab+") as file:
            if file.tell() and not _ends_with_newline(file):
                text = "\n" + text  # after an incomplete line
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
