"""A white sheet of pictures, shapes and text, drawn with Pillow and written as a small PNG."""

from __future__ import annotations

import functools
import io
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gazeback.models.writing import write_atomically

DPI = 120

COLOURS = 256
"""The colours of a PNG: a palette of its own takes a fifth of the room of true colours."""

FONTS = {"plain": "DejaVuSans", "italic": "DejaVuSans-Oblique", "serif": "DejaVuSerif"}

FINER = 3  # round shapes are drawn so much larger, then scaled down, which smooths their edges


@dataclass(frozen=True)
class Text:
    """A text on a sheet.

    Attributes:
        x, y: its place in inches from the lower left.
        size: in points.
        style: one of `FONTS`.
        anchor: which point of the text is at that place, in Pillow's two letters: "ls" is the left end of the
            first line, "ra" the upper right corner.
        upright: False turns the text by a quarter to the left; its right edge is then at x, its middle at y.
    """

    text: str
    x: float
    y: float
    size: float
    colour: str
    style: str = "plain"
    anchor: str = "ls"
    upright: bool = True


class Sheet:
    """A sheet to draw on; places are in inches from the lower left.

    Attributes:
        width, height: in inches.
        image: what is drawn so far.
        texts, pictures: what was written and placed, in order.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (pixels_of(width), pixels_of(height)), "white")
        self.texts: list[Text] = []
        self.pictures: list[Image.Image] = []
        self._draw = ImageDraw.Draw(self.image)

    def write(self, text: Text) -> None:
        """Write a text; a letter that the font lacks is drawn as a box."""
        self.texts.append(text)
        font, place = font_of(text.style, text.size), self._place(text.x, text.y)
        if text.upright:
            self._draw.text(place, text.text, text.colour, font, text.anchor, spacing=round(0.3 * font.size))
            return
        left, top, right, bottom = (round(side) for side in font.getbbox(text.text))
        mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
        ImageDraw.Draw(mask).text((-left, -top), text.text, 255, font)
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        corner = (round(place[0]) - mask.width, round(place[1] - mask.height / 2))
        self.image.paste(text.colour, corner, mask)

    def place(self, picture: Image.Image, left: float, bottom: float) -> None:
        """Place a picture, which has `DPI` pixels per inch."""
        self.pictures.append(picture)
        x, y = self._place(left, bottom)
        self.image.paste(picture, (round(x), round(y) - picture.height))

    def fill(self, left: float, bottom: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle that is at least one pixel high; of no width, it is not drawn."""
        x, y = self._place(left, bottom)
        across, down = round(DPI * width), max(1, round(DPI * height))
        if across:
            self.image.paste(colour, (round(x), round(y) - down, round(x) + across, round(y)))

    def frame(self, left: float, bottom: float, width: float, height: float, colour: str) -> None:
        """Draw a rectangle's border, three pixels wide, around these sides."""
        (x, y), (right, top) = self._place(left, bottom), self._place(left + width, bottom + height)
        self._draw.rectangle((round(x) - 2, round(top) - 2, round(right) + 1, round(y) + 1), None, colour, 3)

    def write_png(self, path: str | os.PathLike[str]) -> Path:
        """Write the sheet to ``path``; returns the path. Raises `OSError`."""
        stream = io.BytesIO()
        # every fourth pixel has the colours of all, and gives them more evenly
        sample = self.image.resize([max(1, side // 4) for side in self.image.size], Image.Resampling.NEAREST)
        palette = sample.quantize(COLOURS, Image.Quantize.FASTOCTREE)
        small = self.image.quantize(palette=palette, dither=Image.Dither.NONE)
        small.save(stream, "PNG", dpi=(DPI, DPI))
        return write_atomically(path, stream.getvalue())

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels from the upper left."""
        return DPI * x, self.image.height - DPI * y


def pixels_of(inches: float) -> int:
    """A length on a sheet in pixels, at least 1."""
    return max(1, round(DPI * inches))


def points_of(points: float) -> int:
    """The width of a line, given in points, in pixels, at least 1."""
    return max(1, round(DPI * points / 72))


@functools.cache
def font_of(style: str, size: float) -> ImageFont.FreeTypeFont:
    """A font that comes with Matplotlib, which is not imported for it; without it Pillow's own font."""
    found = find_spec("matplotlib")
    folder = Path(found.origin if found and found.origin else "").with_name("mpl-data") / "fonts" / "ttf"
    try:
        return ImageFont.truetype(str(folder / f"{FONTS[style]}.ttf"), size * DPI / 72)
    except OSError:
        font = ImageFont.load_default(size * DPI / 72)
        assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
        return font


def resized(pixels: np.ndarray, width: float, height: float) -> Image.Image:
    """A picture in the size that it has on a sheet; few and large pixels keep their edges.

    Args:
        pixels: uint8 [rows, columns, 3], or grey [rows, columns].
        width, height: in inches.
    """
    image = Image.fromarray(np.asarray(pixels, np.uint8)).convert("RGB")
    filtering = Image.Resampling.NEAREST if max(image.size) < 32 else Image.Resampling.LANCZOS
    return image.resize((pixels_of(width), pixels_of(height)), filtering)
