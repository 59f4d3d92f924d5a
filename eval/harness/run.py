"""Run a task: measure what is missing, and print and write the tables."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from gazeback.eval.data.selection import RULE, tuned_on
from gazeback.eval.harness import page
from gazeback.eval.harness.elsewhere import records_elsewhere
from gazeback.eval.harness.records import Records, keys_of, records_path
from gazeback.eval.harness.table import Table, as_csv, print_tables
from gazeback.eval.harness.task import Record, Task, skipped_line
from gazeback.eval.harness.workers import Batch, Measured, measured
from gazeback.grounding.workers import HERE, Workers
from gazeback.models.errors import DataError
from gazeback.models.progress import Bar
from gazeback.models.writing import check_output, json_text, together, write_atomically, writing_to

T = TypeVar("T")


def write_result(path: Path, task: str, result: Mapping[str, Any]) -> None:
    """Write `result_text` atomically. Raises UserError."""
    write_text(path, result_text(task, result))


def result_text(task: str, result: Mapping[str, Any]) -> str:
    """The result as JSON, with the task and the version of gazeback."""
    return json_text({"task": task, "gazeback": version("gazeback"), **result}, indent=1) + "\n"


def tracked(items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """Iterate over items with a progress bar on the error stream, which is removed at the end."""
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns) as progress:
        bar = progress.add_task(text, total=total)
        for item in items:
            yield item
            progress.advance(bar)


NAMED = 5
"""The number of unusable images that are named on the terminal; the JSON file names all."""


def run_task(
    task: Task[Any], json_path: Path | None = None, workers: Workers = HERE, fresh: bool = False,
    settings: Path | None = None,
) -> None:  # fmt: skip
    """Measure what is missing, print the tables, and write them.

    With `json_path` the figures are written there as JSON, and beside it as CSV (`.csv`) and as a page
    (`.html`). The records (`.records.jsonl`) are kept for the next run, which measures only what is missing,
    unless `fresh`. With `settings`, the result of another run, settings are chosen on its images.

    Raises UserError: no image could be measured, a file cannot be written, or a method cannot be used.
    """
    check_output(json_path, "--json", ".json")
    workers.check()
    elsewhere = {} if settings is None else records_elsewhere(task, settings)
    with tuned_on(next(iter(elsewhere.values())) if settings is not None else None):
        _run(task, json_path, workers, fresh, elsewhere)


def _run(
    task: Task[Any], json_path: Path | None, workers: Workers, fresh: bool,
    elsewhere: Mapping[str, Mapping[str, Record]],
) -> None:  # fmt: skip
    names, methods = list(task.names()), list(task.methods)
    subject = task.subject()
    path = None if json_path is None else records_path(json_path)
    records = Records(path, {} if path is None else keys_of(task, subject), fresh)
    batches = list(_batches(names, methods, records, task.batch))
    unusable = _measure_missing(task, measured(task, subject, batches, workers), batches, records)
    found = records.by_method(names, methods)
    skipped = Counter(task.skipped)
    skipped["unusable image"] += len(unusable)
    skipped["nothing to measure"] += records.empty(names, methods)
    notes = [*skipped_line(skipped), *_named(unusable)]
    if not any(found.values()):
        raise DataError("; ".join(["none of the images could be measured", *notes]))
    with_tuned = {method: {**elsewhere.get(method, {}), **of_method} for method, of_method in found.items()}
    tables = task.tables(with_tuned)
    print_tables(tables, notes)
    if json_path is None:
        return
    result = {
        **as_result(tables),
        "selection": RULE,
        "about": dict(task.cache_key()),
        "images measured": len(found[methods[0]]),
        "skipped": {reason: count for reason, count in skipped.items() if count},
        "unusable": unusable,
        **task.details(with_tuned),
    }
    content = page.Content(task, subject, found, tables, notes, command_line())
    _write(json_path, result_text(task.name, result), as_csv(tables), page.html(content))
    task.write_pages(found, json_path.with_suffix(""))


def _write(json_path: Path, result: str, table: str, html: str) -> None:
    """Write the three files of a result, or none. Raises UserError."""
    texts = {".html": html, ".csv": table, ".json": result}
    with writing_to(json_path), together(*map(json_path.with_suffix, texts)) as places:
        for place, text in zip(places, texts.values(), strict=True):
            write_atomically(place, text.encode(errors="replace"))


def command_line() -> str:
    """The command line of this process, as a user would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _measure_missing(
    task: Task[Any], answers: Iterable[tuple[Batch, Measured]], batches: Sequence[Batch], records: Records
) -> dict[str, str]:
    """Keep the missing records; returns the images that cannot be used, with the reasons."""
    unusable: dict[str, str] = {}
    left = sum(len(batch.names) for batch in batches)
    total = len(task.names())
    with _progress() as progress:
        bar = progress.add_task(task.name, total=total, completed=total - left)
        for batch, answer in answers:
            unusable |= answer.unusable
            for name in batch.names:
                if name not in answer.unusable:
                    of_image = answer.records.get(name, {})
                    records.add(name, {method: of_image.get(method) for method in batch.methods})
            progress.advance(bar, len(batch.names))
    return unusable


def _batches(names: Sequence[str], methods: Sequence[str], records: Records, size: int) -> Iterator[Batch]:
    """Batches of images with missing records; neighbours that miss the same methods are together."""
    for missing, group in groupby(names, key=lambda name: records.missing(name, methods)):
        alike = list(group) if missing else []
        for start in range(0, len(alike), size):
            yield Batch(alike[start : start + size], missing)


def _progress() -> Bar:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns)


def _named(unusable: Mapping[str, str]) -> list[str]:
    lines = [f"  {name}: {why}" for name, why in list(unusable.items())[:NAMED]]
    more = len(unusable) - NAMED
    return lines + ([f"  and {more} more"] if more > 0 else [])


def write_text(path: Path, content: str) -> None:
    """Write a file atomically. Raises UserError."""
    with writing_to(path):
        write_atomically(path, content.encode(errors="replace"))


def as_result(tables: Sequence[Table]) -> dict[str, Any]:
    """The parts of a result that `gazeback evaluate report` reads."""
    return {"command": command_line(), "tables": [table.as_json() for table in tables]}
