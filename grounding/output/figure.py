"""Draw the figure: one panel per word in caption order, similar to Figure 6 of Mopuri et al. 2018.

If there are several methods, each is a row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.grounding.output.colours import PAPER, PHOTO, blended, look_of, paler
from gazeback.grounding.output.drawing import (
    INK,
    SOFT,
    draw_bar,
    draw_points,
    draw_shapes,
    panel_picture,
    titled_sheet,
    write,
)
from gazeback.grounding.output.page import MAP_LONGEST
from gazeback.grounding.output.panels import Matrix, Panels, arrange, arrange_matrix
from gazeback.grounding.output.sheet import Sheet, Text
from gazeback.grounding.output.text import facts, is_doubtful, is_language_habit, percent, short, value_text

if TYPE_CHECKING:
    from gazeback.grounding.captions import GroundedWord, Grounding
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.grounding.explanation import Outlines


def write_figure(
    explained: Grounding | TracedPhoto, path: str | os.PathLike[str], outlines: Outlines | None = None
) -> Path:
    """Write the figure of a caption (`draw_words`) or of a classifier's answer (`draw_class`) as PNG.

    Returns the path. Raises `OSError`.
    """
    sheet = draw_words(explained, outlines) if explained.kind == "words" else draw_class(explained)
    return sheet.write_png(path)


def draw_class(traced: TracedPhoto, target: int = 0, method: int = 0) -> Sheet:
    """Draw the photo with the answer, points, and heat map, for one target and one method.

    A method without points has two panels. A drawing's strokes stay visible through its heat map.
    """
    photo, asked = traced.photo, traced.targets[target]
    explanation = asked.explanations[method]
    look = look_of(photo)
    panels = arrange(2 if explanation.fixations is None else 3, photo.width / photo.height)
    sheet = titled_sheet(f"{photo.name}: {asked.name}", panels)
    plain = panel_picture(photo, panels)
    shape, scale = (photo.height, photo.width), plain.width / photo.width
    shown = [plain, blended(plain, explanation.heat(MAP_LONGEST), look)]
    if explanation.fixations is not None:
        shown.insert(1, paler(plain) if look is PHOTO else plain.copy())
        draw_points(shown[1], scale, explanation.fixations, look)
        write(sheet, panels, 1, "fixations", INK, explanation.method, facts(explanation, shape))
    draw_shapes(shown[-1], scale, explanation.box(shape), (), INK if look is PAPER else "white")
    for index, picture in enumerate(shown):
        sheet.place(picture, *panels.place(index))
    last = len(shown) - 1
    write(sheet, panels, last, "heat map", INK, explanation.method, "dashed: the box of the evidence")
    write(sheet, panels, 0, short(asked.name), INK, value_text(asked), f"answer of {traced.model_name}")
    if asked.layer is None:
        draw_bar(sheet, panels, 0, asked.value)
    return sheet


def draw_words(grounding: Grounding, outlines: Outlines | None = None) -> Sheet:
    """Draw the caption, the photo, and for each word the photo with the word's evidence and visual share.

    A word from language habit is in grey italics with a note, and its heat map is fainter. A word that is
    likely false has a question mark and a note. Several methods
    are rows of a table whose columns are the words.

    Args:
        outlines: for a word's index, polygons ``[[x, y], ...]`` in photo pixels, drawn over the word's
            evidence.
    """
    photo, count = grounding.photo, len(grounding.methods)
    ratio = photo.width / photo.height
    if count == 1:
        panels = arrange(len(grounding.words) + 1, ratio)
    else:
        panels = arrange_matrix(count, len(grounding.words), ratio)
    sheet = titled_sheet(grounding.caption, panels)
    plain = panel_picture(photo, panels)
    sheet.place(plain, *panels.place(0))
    write(sheet, panels, 0, "photo", colour=SOFT)
    for index, word in enumerate(grounding.words):
        cells = [panels.index(m, index) for m in range(count)] if isinstance(panels, Matrix) else [index + 1]
        for cell, explanation in zip(cells, word.explanations(grounding.methods), strict=True):
            strength = 0.5 if is_language_habit(word) else 1.0
            picture = blended(plain, explanation.heat(MAP_LONGEST), PHOTO, strength)
            box = explanation.region((photo.height, photo.width))
            draw_shapes(picture, plain.width / photo.width, box, (outlines or {}).get(index, ()))
            sheet.place(picture, *panels.place(cell))
        _write_word(sheet, panels, cells, word)
    if isinstance(panels, Matrix):
        write_methods(sheet, panels, grounding.methods)
    return sheet


def _write_word(sheet: Sheet, panels: Panels, cells: Sequence[int], word: GroundedWord) -> None:
    """Write above the first of a word's cells and below the last."""
    habit = is_language_habit(word)
    notes = ["language habit"] * habit + ["likely false"] * is_doubtful(word)
    notes += ["unknown word"] * (not word.known)
    share, colour = percent(word.visual_share), SOFT if habit else INK
    title = f"{word.text} ?" if is_doubtful(word) else word.text
    write(sheet, panels, cells[0], title, colour, share, ", ".join(notes), cells[-1])
    if word.visual_share is not None:
        draw_bar(sheet, panels, cells[-1], word.visual_share)


def write_methods(sheet: Sheet, panels: Matrix, methods: Sequence[str]) -> None:
    """Write each method's name, turned, before its rows."""
    for row in range(panels.rows):
        left, bottom = panels.place(row * panels.columns + 1)
        name = methods[row % len(methods)]
        sheet.write(Text(name, left - 0.06, bottom + panels.height / 2, 8.5, SOFT, upright=False))
