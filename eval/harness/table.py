"""A table of figures, written to the terminal, as JSON, CSV and Markdown."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as Printed

from gazeback.eval.metrics.statistics import Summary
from gazeback.models.reading import Known

WIDTH = 400

Cell = Summary | float | int | str | None


@dataclass(frozen=True)
class Table:
    """A title, names of columns, and rows: a label, then one cell for each column.

    A cell is a mean with its standard error (`Summary`), a number, a text, or None where there is nothing.
    `notes` are below the table: the meaning of n, and what was chosen on which part. `head` is the title of
    the labels.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    notes: Sequence[str] = ()
    head: str = ""

    def __post_init__(self) -> None:
        for label, cells in self.rows:
            if len(cells) != len(self.columns):
                raise ValueError(
                    f"{self.title}: {label} has {len(cells)} cells for {len(self.columns)} columns"
                )

    @property
    def texts(self) -> list[list[str]]:
        """The rows as text, the label first."""
        return [[label, *(text(cell) for cell in cells)] for label, cells in self.rows]

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "head": self.head,
            "columns": list(self.columns),
            "rows": [
                {"label": label, "cells": [as_json(cell) for cell in cells]} for label, cells in self.rows
            ],
            "notes": list(self.notes),
        }

    @classmethod
    def of(cls, stored: "StoredTable") -> "Table":
        """The table that `as_json` stored. Raises ValueError if a row has not one cell for each column."""
        rows = [(row.label, [_cell(cell) for cell in row.cells]) for row in stored.rows]
        return cls(stored.title, stored.columns, rows, stored.notes, stored.head)


class _StoredSummary(Known):
    n: int
    groups: int
    mean: float | None
    standard_error: float | None


class _StoredRow(Known):
    label: str
    cells: list[_StoredSummary | int | float | str | None]


class StoredTable(Known):
    """A table in a file."""

    title: str
    columns: list[str]
    rows: list[_StoredRow]
    notes: list[str]
    head: str


def text(cell: Cell) -> str:
    """A cell as text: a mean with its error, three decimals, or a dash for None."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return str(cell)


def print_tables(tables: Iterable[Table], notes: Iterable[str] = ()) -> None:
    """Print tables on the terminal, with the notes under each table and at the end."""
    console = Console()
    if not console.is_terminal:  # a file or a pipe has no limit of width
        console = Console(width=WIDTH)
    for table in tables:
        printed = Printed(title=table.title, title_justify="left")
        for index, column in enumerate((table.head, *table.columns)):
            printed.add_column(column, justify="right" if index else "left", overflow="fold")
        for row in table.texts:
            printed.add_row(*row)
        console.print(printed)
        for note in table.notes:
            console.print(note, highlight=False)
    for note in notes:
        console.print(note, highlight=False)


def as_csv(tables: Iterable[Table]) -> str:
    """Write CSV with one line for each cell: table, row, column, value, standard error, n, groups."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["table", "row", "column", "value", "standard error", "n", "groups"])
    for table in tables:
        for label, cells in table.rows:
            for column, cell in zip(table.columns, cells, strict=True):
                lines.writerow([table.title, label, column, *_csv(cell)])
    return stream.getvalue()


def as_markdown(table: Table) -> str:
    """The table without its title, and its notes as a paragraph."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in table.texts]
    lines = [[table.head, *table.columns], ["---"] * (len(table.columns) + 1), *escaped]
    notes = "\n".join(f"\n{note}" for note in table.notes)
    return (
        "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n" + (notes + "\n" if notes else "")
    )


def as_json(content: Any) -> Any:
    """Figures by name, or one figure, with every mean and its error as JSON."""
    if isinstance(content, Mapping):
        return {name: as_json(value) for name, value in content.items()}
    return content.as_json() if isinstance(content, Summary) else content


def _cell(stored: "_StoredSummary | int | float | str | None") -> Cell:
    if isinstance(stored, _StoredSummary):
        return Summary(stored.n, stored.groups, stored.mean, stored.standard_error)
    return stored


def _csv(cell: Cell) -> list[Any]:
    if isinstance(cell, Summary):
        return [cell.mean, cell.standard_error, cell.n, cell.groups]
    return [cell, None, None, None]
