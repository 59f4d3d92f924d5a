"""Store the records of a run: one line of JSON for each image and method, appended as soon as it is measured.

A line is keyed by the task, the code of gazeback, the versions of the libraries, the model's weights, and the
contents of the image's files. So a second run measures only what is missing, and never uses a figure of other
data, another model or other code. A process that is killed leaves at most one incomplete line, which is
ignored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gazeback.eval.harness.task import Record, Task
from gazeback.grounding.methods import code_of
from gazeback.models.contents import files_digest, versions
from gazeback.models.reading import Known, read_lines
from gazeback.models.writing import append_line, json_text, writing_to


def keys_of(task: Task, subject: Any) -> dict[tuple[str, str], str]:
    """The key of the record of each image and method: a hash of everything that the record depends on."""
    about = {"task": task.name, "versions": versions(), "about": dict(task.cache_key())}
    about["model"] = task.model_digest(subject)
    of_task = json_text(about)
    files = {name: files_digest(task.files(name)) for name in task.names()}
    return {
        (name, method): _short_hash(f"{of_method}\n{digest}")
        for method in task.methods
        for of_method in (f"{of_task}\n{code_of(method)}",)
        for name, digest in files.items()
    }


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def records_path(json_path: Path) -> Path:
    """The file of the records of a result, beside it."""
    return json_path.with_name(f"{json_path.stem}.records.jsonl")


class Records:
    """The records of one task, in memory and, with a path, in a file. None: there was nothing to measure."""

    def __init__(self, path: Path | None, keys: Mapping[tuple[str, str], str], fresh: bool = False) -> None:
        """Read the file's records under the keys of their image and method. `fresh`: delete the file instead.
        Raises UserError."""
        self._path, self._keys = path, keys
        self._found: dict[tuple[str, str], Record | None] = {}
        if path is None:
            return
        if fresh:
            path.unlink(missing_ok=True)
        for line in read_lines(path, Line, "records of gazeback evaluate"):
            if line.key == keys.get((line.image, line.method)) and line.is_whole:
                self._found[line.image, line.method] = line.record

    def missing(self, image: str, methods: Sequence[str]) -> tuple[str, ...]:
        """The methods that have not been measured on an image."""
        return tuple(method for method in methods if (image, method) not in self._found)

    def add(self, image: str, answers: Mapping[str, Record | None]) -> None:
        """Keep an image's records by method, on disk before this returns. Raises UserError."""
        lines = []
        for method, record in answers.items():
            self._found[image, method] = record
            key = self._keys.get((image, method))
            line = {"key": key, "image": image, "method": method, "record": record}
            lines.append(json_text({**line, "check": _check(record)}))
        if self._path is not None:
            with writing_to(self._path):
                append_line(self._path, "\n".join(lines))

    def by_method(self, images: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Record]]:
        """The records `[method][image]`, in the order of the images, of the images that every method was
        measured on."""
        complete = [name for name in images if all(self._found.get((name, m)) is not None for m in methods)]
        return {method: {name: self._found[name, method] or {} for name in complete} for method in methods}

    def empty(self, images: Sequence[str], methods: Sequence[str]) -> int:
        """The number of images on which there was nothing to measure."""
        return sum(any(self._found.get((name, m), {}) is None for m in methods) for name in images)


class Line(Known):
    """A line of a file of records."""

    key: str
    image: str
    method: str
    record: dict[str, Any] | None
    check: str

    @property
    def is_whole(self) -> bool:
        """Whether the record is what was written."""
        return self.check == _check(self.record)


def _check(record: Record | None) -> str:
    """A hash of a record, by which a damaged line is known."""
    return _short_hash(json_text(record))
