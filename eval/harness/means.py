"""Tables of means: a line for each method, with standard errors over the images."""

from collections.abc import Callable, Mapping, Sequence

from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.metrics.statistics import grouped_mean

Value = Callable[[Record, str], float | None]
"""A figure of a record by its key; None where the record has none."""


def figure(record: Record, key: str) -> float | None:
    """The figure that a record has under a key of its own."""
    return record.get(key)


def mean_row(records: Mapping[str, Record], keys: Sequence[str], value: Value = figure) -> list[Cell]:
    """The means of some figures of a method's records by image; figures that a record lacks do not count."""
    return [grouped_mean({name: value(record, key) for name, record in records.items()}) for key in keys]


def means_table(
    title: str, records: Records, columns: Mapping[str, str], notes: Sequence[str], value: Value = figure
) -> Table:
    """A line for each method: the means of figures, given as key of the record and title of the column."""
    rows = [(method, mean_row(of_method, list(columns), value)) for method, of_method in records.items()]
    return Table(title, list(columns.values()), rows, notes, "method")


FEW = 30
"""A kind with fewer cases is marked in a table: its mean says little."""


def strata_table(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]], head: str,
    notes: Sequence[str] = (),
) -> Table:  # fmt: skip
    """A line for each kind of case, whose first cell is their number; kinds with few cases are marked."""
    few = [label for label, cells in rows if isinstance(cells[0], int) and cells[0] < FEW]
    marked = [(f"{label} *" if label in few else label, cells) for label, cells in rows]
    told = [f"* fewer than {FEW}, too few to compare: {', '.join(few)}"] if few else []
    return Table(title, columns, marked, [*notes, *told], head)
