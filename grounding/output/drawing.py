"""Draw parts of figures: titles, panels with photos, shapes and text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from gazeback.grounding.output.colours import Look, heat_colours, strongest_first
from gazeback.grounding.output.panels import MARGIN, Panels
from gazeback.grounding.output.sheet import FINER, Sheet, Text, points_of, resized

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.explanation import Polygon
    from gazeback.models.photos import Photo

INK, SOFT, TRACK, BAR, OUTLINE = "#23211d", "#6a665d", "#e0dcd2", "#c4501b", "#7df0e0"

CAPTION_LINE = 0.28  # inches

CAPTION_LINES = 6  # a longer caption ends in an ellipsis; its words have their panels

DASH, DASH_GAP = 4.0, 2.5  # points

CROWD = 400  # if there are more points, each is drawn smaller

FAINTEST = 70  # of 255: the colour of a point with the smallest weight, as on the page


def titled_sheet(caption: str, panels: Panels) -> Sheet:
    """Make an empty sheet with the caption above the room for the panels."""
    width, height = panels.size
    letters = max(12, int((width - 2 * MARGIN) * 9.0))  # of 13 points, that fit in one line
    lines = textwrap.wrap(caption, letters, max_lines=CAPTION_LINES, placeholder=" …") or [""]
    total = height + MARGIN + len(lines) * CAPTION_LINE
    sheet = Sheet(width, total)
    sheet.write(Text("\n".join(lines), MARGIN, total - MARGIN, 13, INK, "serif", "la"))
    return sheet


def panel_picture(photo: Photo, panels: Panels) -> Image.Image:
    """The photo in the size of a panel, inside which it keeps its shape."""
    scale = min(panels.width / photo.width, panels.height / photo.height)
    return resized(photo.pixels, scale * photo.width, scale * photo.height)


def draw_shapes(
    picture: Image.Image, scale: float, box: Sequence[float] | None, polygons: Sequence[Polygon],
    dashes: str = "white",
) -> None:  # fmt: skip
    """Draw outlines ``[[x, y], ...]`` and a dashed box ``[x, y, width, height]`` on a picture.

    Args:
        scale: pixels of the picture for each of the photo, in which the shapes are given.
    """
    if polygons:
        finer = picture.resize((FINER * picture.width, FINER * picture.height))
        draw = ImageDraw.Draw(finer, "RGBA")
        for polygon in polygons:
            corners = [(FINER * scale * x, FINER * scale * y) for x, y in polygon]
            ring = [*corners, *corners[:2]]
            draw.line(ring, (0, 0, 0, 128), FINER * points_of(2.4), joint="curve")
            draw.line(ring, OUTLINE, FINER * points_of(1.2), joint="curve")
        picture.paste(finer.reduce(FINER))
    if box is not None:
        x, y, width, height = (scale * side for side in box)
        _draw_box(picture, (x, y, x + width, y + height), dashes)


def _draw_box(picture: Image.Image, sides: Sequence[float], colour: str) -> None:
    """Draw a dashed box over a shade."""
    left, top, right, bottom = (round(side) for side in sides)
    draw = ImageDraw.Draw(picture, "RGBA")
    shade = (0, 0, 0, 110) if colour == "white" else (255, 255, 255, 110)
    draw.rectangle((left - 1, top - 1, right, bottom), None, shade, points_of(1.8))
    step, dash, thick = points_of(DASH + DASH_GAP), points_of(DASH), points_of(1)
    for x in range(left, right, step):
        for y in (top, bottom - thick):
            draw.rectangle((x, y, min(x + dash, right) - 1, y + thick - 1), colour)
    for y in range(top, bottom, step):
        for x in (left, right - thick):
            draw.rectangle((x, y, x + thick - 1, min(y + dash, bottom) - 1), colour)


def draw_points(picture: Image.Image, scale: float, fixations: Fixations, look: Look) -> None:
    """Draw the points in the look's colours; larger weights are stronger and larger, the strongest on top."""
    order = strongest_first(fixations)[::-1]
    weights = fixations.weights[order] / max(float(fixations.weights.max(initial=0)), 1e-12)
    colours = heat_colours(look.stops)[np.rint(FAINTEST + (255 - FAINTEST) * weights).astype(int), :3]
    centres = FINER * scale * (fixations.points[order] + 0.5)
    size = min(1.0, CROWD / max(len(order), 1))
    radii = FINER * points_of(1) * np.sqrt(size * (6 + 26 * weights) / math.pi) / 1.5
    finer = picture.resize((FINER * picture.width, FINER * picture.height))
    draw = ImageDraw.Draw(finer)
    for (y, x), radius, colour in zip(centres, radii, colours, strict=True):
        sides = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(sides, tuple(colour.tolist()), "#141014", max(1, round(size * FINER * 0.6)))
    picture.paste(finer.reduce(FINER))


def draw_bar(sheet: Sheet, panels: Panels, index: int, share: float) -> None:
    """Draw a bar below a panel's photo, filled to a fraction; empty if it is not a number."""
    left, bottom = panels.place(index)
    filled = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    for part, colour in ((1.0, TRACK), (filled, BAR)):
        sheet.fill(left, bottom - 0.07, part * panels.width, 0.03, colour)


def write(
    sheet: Sheet, panels: Panels, index: int, title: str, colour: str, share: str = "", note: str = "",
    lowest: int | None = None,
) -> None:  # fmt: skip
    """Write the title above the photo at the left, the share at the right, and the note below the bar, its
    parts below each other if the panel is narrow.

    ``lowest``: the panel with the bar, if several panels are below one title.
    """
    left, bottom = panels.place(index)
    letters = max(6, int((panels.width - 0.4) * 11))
    title = title if len(title) <= letters else title[: letters - 1] + "…"
    above = bottom + panels.height + 0.06
    style = "italic" if note.startswith("language") else "plain"
    sheet.write(Text(title, left, above, 11, colour, style))
    sheet.write(Text(share, left + panels.width, above, 8.5, SOFT, anchor="rs"))
    _, bottom = panels.place(index if lowest is None else lowest)
    note = note if len(note) <= panels.width * 15 else note.replace(", ", "\n")
    sheet.write(Text(note, left, bottom - 0.1, 7.5, SOFT, anchor="la"))
