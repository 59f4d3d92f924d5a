"""Draw the figure: one panel per word in caption order, similar to Figure 6 of Mopuri et al. 2018.

If there are several methods, each is a row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gazeback.grounding.output.colours import (
    PAPER,
    PHOTO,
    Look,
    blended,
    heat_colours,
    look_of,
    paler,
    strongest_first,
)
from gazeback.grounding.output.drawing import (
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
from gazeback.grounding.output.panels import Matrix, Panels, arrange, arrange_matrix
from gazeback.grounding.output.text import facts, is_language_habit, percent, short, value_text

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.captions import GroundedWord, Grounding
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.grounding.explanation import Outlines

CROWD = 400  # if there are more points, each is drawn smaller

FAINTEST = 70  # of 255: the colour of a point with the smallest weight, as on the page


def write_figure(
    explained: Grounding | TracedPhoto, path: str | os.PathLike[str], outlines: Outlines | None = None
) -> Path:
    """Write the figure of a caption (`draw_words`) or of a classifier's answer (`draw_class`) as PNG.

    Returns the path. Raises `OSError`.
    """
    if explained.kind == "words":
        return write_png(draw_words(explained, outlines), path)
    return write_png(draw_class(explained), path)


def draw_class(traced: TracedPhoto, target: int = 0, method: int = 0) -> Figure:
    """Draw the photo with the answer, points, and heat map, for one target and one method.

    A method without points has two panels. A drawing's strokes stay visible through its heat map.
    """
    photo, asked = traced.photo, traced.targets[target]
    explanation = asked.explanations[method]
    look = look_of(photo)
    panels = arrange(2 if explanation.fixations is None else 3, photo.width / photo.height)
    figure = titled_figure(f"{photo.name}: {asked.name}", panels)
    pixels = panel_pixels(photo, panels)
    dim = paler(pixels) if look is PHOTO else pixels
    shape = (photo.height, photo.width)
    shown = [pixels, dim, blended(pixels, explanation.heat(max(pixels.shape[:2])), look)]
    if explanation.fixations is None:
        del shown[1]
    axes = [photo_axes(figure, panels, index) for index in range(len(shown))]
    for axis, picture in zip(axes, shown, strict=True):
        axis.imshow(np.asarray(picture).round().astype(np.uint8), extent=(0, photo.width, photo.height, 0))
    if explanation.fixations is not None:
        draw_points(axes[1], explanation.fixations, look)
        write(figure, panels, 1, "fixations", INK, explanation.method, facts(explanation, shape))
    draw_shapes(axes[-1], explanation.box(shape), (), INK if look is PAPER else "white")
    last = len(shown) - 1
    write(figure, panels, last, "heat map", INK, explanation.method, "dashed: the box of the evidence")
    write(figure, panels, 0, short(asked.name), INK, value_text(asked), f"answer of {traced.model_name}")
    if asked.layer is None:
        draw_bar(figure, panels, 0, asked.value)
    for axis in axes:
        axis.set(xlim=(0, photo.width), ylim=(photo.height, 0))
    return figure


def draw_points(axis: Axes, fixations: Fixations, look: Look) -> None:
    """Draw the points in the look's colours; larger weights are stronger and larger, the strongest on top."""
    order = strongest_first(fixations)[::-1]
    weights = fixations.weights[order] / max(float(fixations.weights.max(initial=0)), 1e-12)
    colours = heat_colours(look.stops)[np.rint(FAINTEST + (255 - FAINTEST) * weights).astype(int), :3] / 255
    points = fixations.points[order] + 0.5
    size = min(1.0, CROWD / max(len(points), 1))
    axis.scatter(
        points[:, 1], points[:, 0], s=size * (6 + 26 * weights), c=colours, edgecolors="#141014",
        linewidths=0.4 * size, alpha=0.9,
    )  # fmt: skip


def draw_words(grounding: Grounding, outlines: Outlines | None = None) -> Figure:
    """Draw the caption, the photo, and for each word the photo with the word's evidence and visual share.

    A word from language habit is in grey italics with a note, and its heat map is fainter. Several methods
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
    """Write above the first of a word's cells and below the last."""
    habit = is_language_habit(word)
    notes = ["language habit"] * habit + ["unknown word"] * (not word.known)
    share, colour = percent(word.visual_share), SOFT if habit else INK
    write(figure, panels, cells[0], word.text, colour, share, ", ".join(notes), cells[-1])
    if word.visual_share is not None:
        draw_bar(figure, panels, cells[-1], word.visual_share)


def write_methods(figure: Figure, panels: Matrix, methods: Sequence[str]) -> None:
    """Write each method's name, rotated, before its rows."""
    width, height = figure.get_size_inches()
    for row in range(panels.rows):
        left, bottom = panels.place(row * panels.columns + 1)
        x, y, name = left - 0.06, bottom + panels.height / 2, methods[row % len(methods)]
        style: dict[str, Any] = {"size": 8.5, "rotation": 90, "ha": "right", "va": "center", "color": SOFT}
        figure.text(x / width, y / height, name, parse_math=False, **style)
