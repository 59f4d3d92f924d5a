"""Where the panels of a figure stand: rows and columns for any number of words and any shape of photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

PANEL_AREA = 4.2  # square inches of a panel's photo in a figure of few words
FIGURE_AREA = 105.0  # square inches that a figure is scaled down to; its writing keeps its size
LEGIBLE = 1.25  # inches that a panel's writing needs, however narrow the photo
TITLE, FOOT, GAP, MARGIN = 0.26, 0.30, 0.16, 0.22  # inches: above and below a photo, between columns, around


@dataclass(frozen=True)
class Panels:
    """A grid of cells, filled row by row; ``width``, ``height``: a cell's room for the photo, in inches."""

    rows: int
    columns: int
    width: float
    height: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the whole grid with its margins, in inches."""
        across = self.columns * (self.width + GAP) - GAP + 2 * MARGIN
        return across, self.rows * (TITLE + self.height + FOOT) + MARGIN

    def place(self, index: int) -> tuple[float, float]:
        """Left and bottom edge of a cell's photo, in inches from the lower left of the grid."""
        row, column = divmod(index, self.columns)
        below = (self.rows - 1 - row) * (TITLE + self.height + FOOT)
        return MARGIN + column * (self.width + GAP), MARGIN / 2 + below + FOOT


def arrange(count: int, ratio: float) -> Panels:
    """The grid whose outline is closest to three wide by two high, with few empty cells.

    Args:
        count: number of panels.
        ratio: width / height of the photo; beyond 1:16 and 16:1 the cell is larger than the photo in it.
    """
    shape = min(max(ratio, 1 / 16), 16.0)
    height = math.sqrt(PANEL_AREA / shape)
    width = max(shape * height, LEGIBLE)

    def unevenness(columns: int) -> float:
        rows = math.ceil(count / columns)
        across, down = Panels(rows, columns, width, height).size
        return abs(math.log(across / down / 1.5)) + 3 * (rows * columns - count) / count

    columns = min(range(1, count + 1), key=unevenness)
    grid = Panels(math.ceil(count / columns), columns, width, height)
    scale = min(1.0, math.sqrt(FIGURE_AREA / math.prod(grid.size)))
    return Panels(grid.rows, columns, max(width * scale, LEGIBLE), height * scale)
