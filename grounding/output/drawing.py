"""Draw parts of figures: titles, panels with photos, shapes and text."""

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

from gazeback.grounding.output.colours import fitted
from gazeback.grounding.output.panels import MARGIN, Panels
from gazeback.models.writing import write_atomically

if TYPE_CHECKING:
    from gazeback.grounding.explanation import Polygon
    from gazeback.models.photos import Photo

INK, SOFT, TRACK, BAR, OUTLINE = "#23211d", "#6a665d", "#e0dcd2", "#c4501b", "#7df0e0"

DPI = 150

CAPTION_LINE = 0.28  # inches

CAPTION_LINES = 6  # a longer caption ends in an ellipsis; its words have their panels


def write_png(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to ``path`` as PNG; returns the path. Raises `OSError`."""
    return write_atomically(path, png_bytes(figure))


def png_bytes(figure: Figure) -> bytes:
    """Encode a figure as PNG."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # a word in a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def titled_figure(caption: str, panels: Panels) -> Figure:
    """Make an empty figure with the caption above the room for the panels."""
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


def panel_pixels(photo: Photo, panels: Panels) -> np.ndarray:
    """The photo at the resolution of a panel: float32 [rows, columns, 3]."""
    image = Image.fromarray(np.asarray(photo.pixels, np.uint8))
    size = fitted(image.width, image.height, math.ceil(DPI * max(panels.width, panels.height)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)


def photo_axes(figure: Figure, panels: Panels, index: int) -> Axes:
    """Add the axes of one panel's photo."""
    left, bottom = panels.place(index)
    width, height = figure.get_size_inches()
    axis = figure.add_axes((left / width, bottom / height, panels.width / width, panels.height / height))
    axis.set_anchor("SW")
    axis.set_axis_off()
    return axis


def draw_shapes(
    axis: Axes, box: Sequence[float] | None, polygons: Sequence[Polygon], dashes: str = "white"
) -> None:
    """Draw outlines ``[[x, y], ...]`` and a dashed box ``[x, y, width, height]``, in pixels of the photo."""
    for polygon in polygons:
        corners = np.asarray(polygon, float)
        axis.add_patch(patches.Polygon(corners, fill=False, edgecolor="black", linewidth=2.4, alpha=0.5))
        axis.add_patch(patches.Polygon(corners, fill=False, edgecolor=OUTLINE, linewidth=1.2))
    if box is not None:
        x, y, width, height = box
        under = "black" if dashes == "white" else "white"
        for colour, style in (
            (under, {"alpha": 0.4, "linewidth": 1.8}),
            (dashes, {"linewidth": 1, "linestyle": (0, (4, 2.5))}),
        ):
            axis.add_patch(patches.Rectangle((x, y), width, height, fill=False, edgecolor=colour, **style))


def draw_bar(figure: Figure, panels: Panels, index: int, share: float) -> None:
    """Draw a bar below a panel's photo, filled to a fraction; empty if it is not a number."""
    left, bottom = panels.place(index)
    width, height = figure.get_size_inches()
    filled = share if math.isfinite(share) else 0.0
    for part, colour in ((1.0, TRACK), (filled, BAR)):
        corner, size = (left / width, (bottom - 0.07) / height), (part * panels.width / width, 0.03 / height)
        figure.add_artist(patches.Rectangle(corner, *size, facecolor=colour, edgecolor="none"))


def write(
    figure: Figure, panels: Panels, index: int, title: str, colour: str, share: str = "", note: str = "",
    lowest: int | None = None,
) -> None:  # fmt: skip
    """Write the title above the photo at the left, the share at the right, and the note below the bar.

    ``lowest``: the panel with the bar, if several panels are below one title.
    """
    left, bottom = panels.place(index)
    width, height = figure.get_size_inches()
    letters = max(6, int((panels.width - 0.4) * 11))
    title = title if len(title) <= letters else title[: letters - 1] + "…"
    above = (bottom + panels.height + 0.06) / height
    style = "italic" if note.startswith("language") else "normal"
    figure.text(left / width, above, title, size=11, style=style, color=colour, parse_math=False)
    figure.text((left + panels.width) / width, above, share, size=8.5, ha="right", color=SOFT)
    _, bottom = panels.place(index if lowest is None else lowest)
    figure.text(left / width, (bottom - 0.1) / height, note, size=7.5, va="top", color=SOFT)
