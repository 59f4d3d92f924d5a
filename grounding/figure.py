"""The figure: one panel per word in caption order, as in Figure 6 of Mopuri et al. 2018, but per word.

Of several methods, each is a row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from gazeback.grounding.drawing import (
    INK,
    SOFT,
    draw_bar,
    draw_shapes,
    panel_pixels,
    photo_axes,
    titled_figure,
    write,
    write_png,
)
from gazeback.grounding.looks import PHOTO, blended
from gazeback.grounding.panels import Matrix, Panels, arrange, arrange_matrix
from gazeback.grounding.verdict import is_language_habit, percent

if TYPE_CHECKING:
    from gazeback.grounding.page_data import Outlines
    from gazeback.grounding.words import GroundedWord, Grounding


def write_figure(
    grounding: Grounding, path: str | os.PathLike[str], outlines: Outlines | None = None
) -> Path:
    """Write `draw_figure` to ``path`` as PNG; returns the path. Raises `OSError`."""
    return write_png(draw_figure(grounding, outlines), path)


def draw_figure(grounding: Grounding, outlines: Outlines | None = None) -> Figure:
    """The caption, the photo, and for each word the photo with the word's evidence and visual share.

    A word from language habit is set in grey italics with a note that says so, and its heat map is fainter.
    Several methods are rows of a table whose columns are the words.

    Args:
        outlines: word index -> polygons ``[[x, y], ...]`` in photo pixels, drawn over that word's evidence.
    """
    photo, count = grounding.photo, len(grounding.methods)
    ratio = photo.width / photo.height
    if count == 1:
        panels = arrange(len(grounding.words) + 1, ratio)
    else:
        panels = arrange_matrix(count, len(grounding.words), ratio)
    figure = titled_figure(grounding.caption, panels)
    pixels = panel_pixels(photo, panels)
    axis = photo_axes(figure, panels, 0)
    axis.imshow(pixels.round().astype(np.uint8))
    write(figure, panels, 0, "photo", colour=SOFT)
    for index, word in enumerate(grounding.words):
        cells = [panels.index(m, index) for m in range(count)] if isinstance(panels, Matrix) else [index + 1]
        for cell, explanation in zip(cells, word.explanations(grounding.methods), strict=True):
            axis = photo_axes(figure, panels, cell)
            heat = explanation.heat(max(pixels.shape[:2]))
            strength = 0.5 if is_language_habit(word) else 1.0
            axis.imshow(blended(pixels, heat, PHOTO, strength), extent=(0, photo.width, photo.height, 0))
            box = explanation.region((photo.height, photo.width))
            draw_shapes(axis, box, (outlines or {}).get(index, ()))
            axis.set(xlim=(0, photo.width), ylim=(photo.height, 0))
        _write_word(figure, panels, cells, word)
    if isinstance(panels, Matrix):
        write_methods(figure, panels, grounding.methods)
    return figure


def _write_word(figure: Figure, panels: Panels, cells: Sequence[int], word: GroundedWord) -> None:
    """Above the first of a word's cells and below the last."""
    habit = is_language_habit(word)
    notes = ["language habit"] * habit + ["unknown word"] * (not word.known)
    share, colour = percent(word.visual_share), SOFT if habit else INK
    write(figure, panels, cells[0], word.text, colour, share, ", ".join(notes), cells[-1])
    draw_bar(figure, panels, cells[-1], word.visual_share)


def write_methods(figure: Figure, panels: Matrix, methods: Sequence[str]) -> None:
    """Each method's name, upright before its rows."""
    width, height = figure.get_size_inches()
    for row in range(panels.rows):
        left, bottom = panels.place(row * panels.columns + 1)
        x, y, name = left - 0.06, bottom + panels.height / 2, methods[row % len(methods)]
        style: dict[str, Any] = {"size": 8.5, "rotation": 90, "ha": "right", "va": "center", "color": SOFT}
        figure.text(x / width, y / height, name, parse_math=False, **style)
