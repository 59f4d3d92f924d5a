"""A matrix with each column standardised, read a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazeback.eval.interpretation.lasso import ROWS, Rows


@dataclass(frozen=True, eq=False)
class Standardised:
    """``(x - mean) / deviation``, column by column.

    values: float [n, D]. mean, deviation: float64 [D], over the rows; the deviation of a column that never
    changes is 1.
    """

    values: Rows
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: Rows) -> Standardised:
        """Read all rows twice: the squares of what is left of the mean have no cancellation."""
        rows, columns = values.shape
        parts = [slice(first, first + ROWS) for first in range(0, rows, ROWS)]
        mean, variance = np.zeros(columns), np.zeros(columns)
        with np.errstate(invalid="ignore"):  # whether all is finite, the solver asks
            for part in parts:
                mean += values[part].sum(axis=0, dtype=np.float64) / rows
            for part in parts:
                variance += np.square(values[part] - mean).sum(axis=0) / rows
        # what rounding leaves of a column that is everywhere alike is no deviation
        alike = variance <= np.square(1e-6 * mean)
        return cls(values, mean, np.where(alike, 1.0, np.sqrt(variance)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            found: np.ndarray = (self.values[rows] - self.mean) / self.deviation
        return found
