"""Settings that are chosen on the images of another run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import field

from gazeback.eval.harness.records import Line, records_path
from gazeback.eval.harness.task import Record, Task
from gazeback.models.errors import DataError
from gazeback.models.reading import Known, read_json, read_lines

EXPECTED = "what --json of the same task wrote"


class _Result(Known):
    task: str
    about: dict[str, Any] = field(default_factory=dict)


def records_elsewhere(task: Task[Any], path: Path) -> Mapping[str, Mapping[str, Record]]:
    """The records ``[method][name]`` of another run of the task, whose result is at ``path``.

    Raises DataError: no such result, of another task or model, or without records of a method.
    """
    result = read_json(path, _Result, EXPECTED)
    model = task.cache_key().get("model")
    if result.task != task.name or result.about.get("model") != model:
        raise DataError(
            f"--settings {path}: settings of {result.task} for {result.about.get('model')}; expected "
            f"those of {task.name} for {model}"
        )
    found: dict[str, dict[str, Record]] = {method: {} for method in task.methods}
    for line in read_lines(records_path(path), Line, "the records of that run"):
        if line.is_whole and line.record is not None and line.method in found:
            found[line.method][f"{path.stem}: {line.image}"] = line.record
    missing = [method for method, records in found.items() if not records]
    if missing:
        raise DataError(
            f"--settings {path}: {records_path(path).name} beside it has no records of {', '.join(missing)}; "
            "measure the same methods there"
        )
    names = set.intersection(*(set(records) for records in found.values()))
    return {method: {name: of[name] for name in sorted(names)} for method, of in found.items()}
