"""Means of records over images, as cells, rows and tables."""

from collections.abc import Mapping, Sequence

from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.metrics.statistics import Mean


def mean_cell(values: Mapping[str, float | None]) -> Cell:
    """The mean of values by image, with its standard error; None is left out."""
    mean = Mean()
    for image, value in values.items():
        if value is not None:
            mean.update(value, group=image)
    return mean.summary()


def mean_row(records: Mapping[str, Record], columns: Sequence[str]) -> list[Cell]:
    """The means of some figures of a method's records by image; a record without a figure is left out."""
    return [mean_cell({name: record.get(key) for name, record in records.items()}) for key in columns]


def means_table(title: str, records: Records, columns: Mapping[str, str], notes: Sequence[str]) -> Table:
    """A table with a row for each method: the means of figures, given as key of the record and title of the
    column."""
    rows = [(method, mean_row(of_method, list(columns))) for method, of_method in records.items()]
    return Table(title, list(columns.values()), rows, notes, "method")
