"""The figure: one panel per word in caption order, as in Figure 6 of Mopuri et al. 2018, but per word."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from gazeback.cnn_trace.fixations import REGION
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
from gazeback.grounding.evidence_map import evidence_map
from gazeback.grounding.looks import PHOTO, blended
from gazeback.grounding.panels import Panels, arrange
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

    Args:
        outlines: word index -> polygons ``[[x, y], ...]`` in photo pixels, drawn over that word's evidence.
    """
    photo = grounding.photo
    panels = arrange(len(grounding.words) + 1, photo.width / photo.height)
    figure = titled_figure(grounding.caption, panels)
    pixels = panel_pixels(photo, panels)
    axis = photo_axes(figure, panels, 0)
    axis.imshow(pixels.round().astype(np.uint8))
    write(figure, panels, 0, "photo", colour=SOFT)
    for index, word in enumerate(grounding.words):
        axis = photo_axes(figure, panels, index + 1)
        heat = evidence_map(word.fixations, max(pixels.shape[:2]))
        strength = 0.5 if is_language_habit(word) else 1.0
        axis.imshow(blended(pixels, heat, PHOTO, strength), extent=(0, photo.width, photo.height, 0))
        draw_shapes(axis, word.fixations.box(REGION), (outlines or {}).get(index, ()))
        axis.set(xlim=(0, photo.width), ylim=(photo.height, 0))
        _write_word(figure, panels, index + 1, word)
    return figure


def _write_word(figure: Figure, panels: Panels, index: int, word: GroundedWord) -> None:
    habit = is_language_habit(word)
    notes = ["language habit"] * habit + ["unknown word"] * (not word.known)
    write(
        figure, panels, index, word.text, SOFT if habit else INK, percent(word.visual_share), ", ".join(notes)
    )
    draw_bar(figure, panels, index, word.visual_share)
