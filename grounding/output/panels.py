"""Arrange the panels of a figure: rows and columns for any number of words and any shape of photo."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

PANEL_AREA = 4.2  # square inches of a panel's photo in a figure of few words

FIGURE_AREA = 105.0  # the largest square inches of a figure; larger ones are scaled down, but not their text

LEGIBLE = 1.25  # inches that a panel's text needs, even for a narrow photo

TITLE, FOOT, GAP, MARGIN = 0.26, 0.30, 0.16, 0.22  # inches: above and below a photo, between columns, around

MOST = 12  # words side by side in a figure of several methods; more words are in blocks below

CLOSE, HEADING = 0.06, 0.2  # inches: between the rows of one word, and for a method's name


@dataclass(frozen=True)
class Panels:
    """A grid of cells, filled row by row; ``width``, ``height``: the room for the photo in a cell, in
    inches."""

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
        """The left and bottom edge of a cell's photo, in inches from the lower left of the grid."""
        row, column = divmod(index, self.columns)
        below = (self.rows - 1 - row) * (TITLE + self.height + FOOT)
        return MARGIN + column * (self.width + GAP), MARGIN / 2 + below + FOOT


@dataclass(frozen=True)
class Matrix(Panels):
    """A grid with a row per method and a column per word, after a first column for the photo.

    If there are many words, further blocks of rows follow below; ``methods``: the rows of a block. A word's
    title is above its block and its note below it. Method names are before the second column.
    """

    methods: int

    @property
    def block(self) -> float:
        """The distance from the top of a block to the top of the next in inches."""
        return TITLE + self.methods * (self.height + CLOSE) - CLOSE + FOOT

    @property
    def size(self) -> tuple[float, float]:
        across = self.columns * (self.width + GAP) - GAP + 2 * MARGIN + HEADING
        return across, self.rows // self.methods * self.block + MARGIN

    def place(self, index: int) -> tuple[float, float]:
        row, column = divmod(index, self.columns)
        block, line = divmod(row, self.methods)
        top = self.size[1] - MARGIN / 2 - block * self.block - TITLE - line * (self.height + CLOSE)
        left = MARGIN + column * (self.width + GAP) + (HEADING if column else 0)
        return left, top - self.height

    def index(self, method: int, word: int) -> int:
        """The index of the cell of a method's map of a word, both counted from 0."""
        block, column = divmod(word, self.columns - 1)
        return (block * self.methods + method) * self.columns + 1 + column


def arrange_matrix(methods: int, words: int, ratio: float) -> Matrix:
    """Arrange a grid whose panels have the size that `arrange` gives; ratio: width / height of the photo."""
    blocks = max(1, math.ceil(words / MOST))
    columns = 1 + max(1, math.ceil(words / blocks))
    room = arrange(blocks * methods * columns, ratio)
    grid = Matrix(blocks * methods, columns, room.width, room.height, methods)
    # The text of narrow panels needs more room than `arrange` has given them.
    excess = max(1.0, math.prod(grid.size) / FIGURE_AREA)
    return replace(grid, height=grid.height / excess)


def arrange(count: int, ratio: float) -> Panels:
    """Choose the grid whose shape is closest to 3:2, with few empty cells.

    Args:
        count: number of panels.
        ratio: width / height of the photo; beyond 1:16 and 16:1 a cell is larger than its photo.
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
