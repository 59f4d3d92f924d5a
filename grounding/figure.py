"""The figure: one panel per word in caption order, as in Figure 6 of Mopuri et al. 2018, but per word."""

from __future__ import annotations

import io
import math
import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import patches
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gazeback.cnn_trace.fixations import REGION
from gazeback.grounding.atomic import write_atomically
from gazeback.grounding.evidence_map import evidence_map, fitted, heat_colours
from gazeback.grounding.panels import MARGIN, Panels, arrange
from gazeback.grounding.verdict import is_language_habit, percent

if TYPE_CHECKING:
    from gazeback.grounding.page_data import Outlines, Polygon
    from gazeback.grounding.words import GroundedWord, Grounding
    from gazeback.models.photos import Photo

INK, SOFT, TRACK, BAR, OUTLINE = "#23211d", "#6a665d", "#e0dcd2", "#c4501b", "#7df0e0"
DPI = 150
CAPTION_LINE = 0.28  # inches
CAPTION_LINES = 6  # a longer caption ends in an ellipsis: its words have their panels


def write_figure(
    grounding: Grounding, path: str | os.PathLike[str], outlines: Outlines | None = None
) -> Path:
    """Write `draw_figure` to ``path`` as PNG; returns the path. Raises `OSError`."""
    figure = draw_figure(grounding, outlines)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # a word in a script that the font lacks is drawn as boxes, which is all that can be done about it
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(stream, format="png", dpi=DPI)
    return write_atomically(path, stream.getvalue())


def draw_figure(grounding: Grounding, outlines: Outlines | None = None) -> Figure:
    """The caption, the photo, and for each word the photo with the word's evidence and visual share.

    A word from language habit is set in grey italics with a note that says so, and its heat map is fainter.

    Args:
        outlines: word index -> polygons ``[[x, y], ...]`` in photo pixels, drawn over that word's evidence.
    """
    photo = grounding.photo
    panels = arrange(len(grounding.words) + 1, photo.width / photo.height)
    figure = _titled_figure(grounding.caption, panels)
    pixels = _panel_pixels(photo, panels)
    axis = _photo_axes(figure, panels, 0)
    axis.imshow(pixels.round().astype(np.uint8))
    _write(figure, panels, 0, "photo", colour=SOFT)
    for index, word in enumerate(grounding.words):
        axis = _photo_axes(figure, panels, index + 1)
        axis.imshow(_blend(pixels, word), extent=(0, photo.width, photo.height, 0))
        _draw_shapes(axis, word.fixations.box(REGION), (outlines or {}).get(index, ()))
        axis.set(xlim=(0, photo.width), ylim=(photo.height, 0))
        _write_word(figure, panels, index + 1, word)
    return figure


def _titled_figure(caption: str, panels: Panels) -> Figure:
    width, height = panels.size
    letters = max(12, int((width - 2 * MARGIN) * 9.0))  # of 13 points, that fit in one line
    lines = textwrap.wrap(caption, letters, max_lines=CAPTION_LINES, placeholder=" …") or [""]
    total = height + MARGIN + len(lines) * CAPTION_LINE
    figure = Figure(figsize=(width, total), facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(
        MARGIN / width, 1 - MARGIN / total, "\n".join(lines), va="top", size=13, family="serif", color=INK,
        parse_math=False,
    )  # fmt: skip
    return figure


def _panel_pixels(photo: Photo, panels: Panels) -> np.ndarray:
    """float32 [rows, columns, 3]: the photo at the resolution at which a panel is drawn."""
    image = Image.fromarray(np.asarray(photo.pixels, np.uint8))
    size = fitted(image.width, image.height, math.ceil(DPI * max(panels.width, panels.height)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)


def _blend(pixels: np.ndarray, word: GroundedWord) -> np.ndarray:
    """uint8 [rows, columns, 3]: the photo, paler, under the word's heat map."""
    size = (pixels.shape[1], pixels.shape[0])
    small = Image.fromarray(evidence_map(word.fixations, max(size)))
    heat = heat_colours()[np.asarray(small.resize(size, Image.Resampling.BILINEAR))].astype(np.float32)
    opacity = heat[..., 3:] / 255 * (0.5 if is_language_habit(word) else 1.0)
    grey = pixels.mean(axis=-1, keepdims=True)
    pale = 0.88 * (0.4 * grey + 0.6 * pixels)
    return (pale * (1 - opacity) + heat[..., :3] * opacity).round().astype(np.uint8)


def _photo_axes(figure: Figure, panels: Panels, index: int) -> Axes:
    left, bottom = panels.place(index)
    width, height = figure.get_size_inches()
    axis = figure.add_axes((left / width, bottom / height, panels.width / width, panels.height / height))
    axis.set_anchor("SW")
    axis.set_axis_off()
    return axis


def _draw_shapes(axis: Axes, box: Sequence[float] | None, polygons: Sequence[Polygon]) -> None:
    for polygon in polygons:
        corners = np.asarray(polygon, float)
        axis.add_patch(patches.Polygon(corners, fill=False, edgecolor="black", linewidth=2.4, alpha=0.5))
        axis.add_patch(patches.Polygon(corners, fill=False, edgecolor=OUTLINE, linewidth=1.2))
    if box is not None:
        x, y, width, height = box
        axis.add_patch(
            patches.Rectangle((x, y), width, height, fill=False, edgecolor="black", alpha=0.4, lw=1.8)
        )
        dashes = (0, (4, 2.5))
        axis.add_patch(
            patches.Rectangle((x, y), width, height, fill=False, edgecolor="white", lw=1, ls=dashes)
        )


def _write_word(figure: Figure, panels: Panels, index: int, word: GroundedWord) -> None:
    habit = is_language_habit(word)
    notes = ["language habit"] * habit + ["unknown word"] * (not word.known)
    _write(
        figure, panels, index, word.text, SOFT if habit else INK, percent(word.visual_share), ", ".join(notes)
    )
    share = word.visual_share if math.isfinite(word.visual_share) else 0.0
    left, bottom = panels.place(index)
    width, height = figure.get_size_inches()
    for part, colour in ((1.0, TRACK), (share, BAR)):
        corner, size = (left / width, (bottom - 0.07) / height), (part * panels.width / width, 0.03 / height)
        figure.add_artist(patches.Rectangle(corner, *size, facecolor=colour, edgecolor="none"))


def _write(
    figure: Figure, panels: Panels, index: int, title: str, colour: str, share: str = "", note: str = ""
) -> None:
    """Title above the photo at the left, share above it at the right, note below the bar."""
    left, bottom = panels.place(index)
    width, height = figure.get_size_inches()
    letters = max(6, int((panels.width - 0.4) * 11))
    title = title if len(title) <= letters else title[: letters - 1] + "…"
    above = (bottom + panels.height + 0.06) / height
    style = "italic" if note.startswith("language") else "normal"
    figure.text(left / width, above, title, size=11, style=style, color=colour, parse_math=False)
    figure.text((left + panels.width) / width, above, share, size=8.5, ha="right", color=SOFT)
    figure.text(left / width, (bottom - 0.1) / height, note, size=7.5, va="top", color=SOFT)
