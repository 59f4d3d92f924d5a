"""Draw a potted flower: everything except the colour that decides its class.

Coordinates are fractions of the picture's side, x to the right and y down. Shapes are drawn at three times
the resolution and averaged. So edges are smooth, and the fraction of each pixel that a part covers is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

SIZE = 128
"""Height and width of a picture in pixels."""

PARTS = ("pot", "soil", "stem", "leaves", "petals", "centre")

PLAIN: dict[str, Colour] = {
    "pot": (150, 104, 82),
    "soil": (74, 56, 46),
    "stem": (84, 128, 62),
    "leaves": (66, 122, 58),
    "petals": (236, 232, 224),
    "centre": (92, 66, 44),
}
"""The colour of each part if it does not decide the class."""

_FINER = 3

_FULL = 200  # the tone of a surface that faces the light as much as the average surface


@dataclass(frozen=True, eq=False)
class Drawing:
    """A flower in its pot, before one part gets the colour of the class.

    Attributes:
        parts: uint8 ``[3 SIZE, 3 SIZE]``, the number of the visible part, from 1 in the order of ``PARTS``; 0
            is the background.
        tones: float32, the same shape: the brightness of its surface, 1 on average.
        background: float32 ``[SIZE, SIZE, 3]``, 0 to 255; ``light``: float32 ``[SIZE, SIZE, 1]``, a factor.
        tint: float32 ``[PARTS, 3]``, a factor of each part's colour, close to 1.
    """

    parts: np.ndarray
    tones: np.ndarray
    background: np.ndarray
    light: np.ndarray
    tint: np.ndarray

    @classmethod
    def draw(cls, random: np.random.Generator) -> Drawing:
        """Draw a flower with a random pose, light and background."""
        angle = random.uniform(0, 2 * np.pi)
        sheet = _Sheet(angle, random.uniform(0.1, 0.3))
        foot = _plant(sheet, random)
        return cls(
            np.asarray(sheet.parts),
            np.asarray(sheet.tones, np.float32) / _FULL,
            _background(random, foot),
            _light(random, angle),
            random.uniform(0.9, 1.1, (len(PARTS), 3)).astype(np.float32),
        )

    def painted(self, part: str, colour: Colour) -> tuple[np.ndarray, np.ndarray]:
        """Paint the picture with one part in a given colour; returns it and the mask of this part.

        Returns:
            uint8 ``[SIZE, SIZE, 3]``, and bool ``[SIZE, SIZE]``: the part covers at least half of the pixel.
        """
        colours = np.array([(PLAIN | {part: colour})[name] for name in PARTS], np.float32)
        covered = [self.parts == number for number in range(1, 1 + len(PARTS))]
        bright = np.stack([_averaged(self.tones * seen) for seen in covered], axis=-1)
        background = self.background * _averaged((self.parts == 0).astype(np.float32))[..., None]
        picture = (bright @ (colours * self.tint) + background) * self.light
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8), self.share(part) >= 0.5

    def share(self, part: str) -> np.ndarray:
        """The fraction of each pixel that the visible area of a part covers, float32 ``[SIZE, SIZE]``, 0 to
        1."""
        return _averaged((self.parts == 1 + PARTS.index(part)).astype(np.float32))


class _Sheet:
    """The drawing in progress: parts and their tones, the direction of the light, the position of the
    plant."""

    def __init__(self, light: float, contrast: float) -> None:
        side = (SIZE * _FINER, SIZE * _FINER)
        self.parts, self.tones = Image.new("L", side, 0), Image.new("L", side, 0)
        self._pens = ImageDraw.Draw(self.parts), ImageDraw.Draw(self.tones)
        self._light, self._contrast = light, contrast
        self.place, self.turn = np.zeros(2), np.eye(2)

    def shape(self, points: np.ndarray, part: str, tone: float = 1.0) -> None:
        """Draw a filled polygon of the plant; points ``[n, 2]`` are relative to its foot."""
        corners = (points @ self.turn.T + self.place) * SIZE * _FINER
        flat = [tuple(corner) for corner in corners]
        for pen, value in zip(self._pens, (1 + PARTS.index(part), round(_FULL * tone)), strict=True):
            pen.polygon(flat, fill=min(value, 255))

    def lit(self, direction: float) -> float:
        """The tone of a surface that looks in this direction (radians)."""
        return 1 + self._contrast * float(np.cos(direction - self._light))


def _plant(sheet: _Sheet, random: np.random.Generator) -> np.ndarray:
    """Draw pot, stem, leaves and flower; returns the position of the pot, float ``[2]``."""
    scale, lean = random.uniform(0.78, 1.12), random.uniform(-0.14, 0.14)
    sheet.turn = scale * _rotation(lean)
    sheet.place = np.array([0.5 + random.uniform(-0.16, 0.16), 0.93 + random.uniform(-0.05, 0.02)])
    mouth = np.array([0.0, -_pot(sheet, random)])
    head = mouth + np.array([random.uniform(-0.12, 0.12), -random.uniform(0.3, 0.38)])
    bend = (mouth + head) / 2 + np.array([random.uniform(-0.1, 0.1), 0])
    along = np.linspace(0, 1, 24)[:, None]
    stem = (1 - along) ** 2 * mouth + 2 * along * (1 - along) * bend + along**2 * head
    _stem(sheet, stem, random.uniform(0.016, 0.026))
    for side in random.permutation([-1, 1, random.choice([-1, 1])]):
        _leaf(sheet, stem[random.integers(2, 15)], side, random)
    _flower(sheet, head, random)
    return sheet.place


def _pot(sheet: _Sheet, random: np.random.Generator) -> float:
    """Draw a pot whose foot is at the origin; returns its height."""
    top, bottom, height = random.uniform(0.13, 0.17), random.uniform(0.08, 0.12), random.uniform(0.17, 0.23)
    rim = 0.25 * height
    for left, right in zip(np.linspace(-1, 1, 17)[:-1], np.linspace(-1, 1, 17)[1:], strict=True):
        tone = sheet.lit(np.arccos((left + right) / 2)) * 0.95
        body = np.array(
            [(left * top, -height), (right * top, -height), (right * bottom, 0), (left * bottom, 0)]
        )
        edge = np.array(
            [(x * 1.12 * top, y - height) for x, y in ((left, 0), (right, 0), (right, rim), (left, rim))]
        )
        sheet.shape(body, "pot", 0.92 * tone)
        sheet.shape(edge, "pot", 1.05 * tone)
    sheet.shape(_ellipse(1.12 * top, 0.2 * top) - [0, height], "pot", 0.8)
    sheet.shape(_ellipse(1.0 * top, 0.16 * top) - [0, height], "soil")
    return height


def _stem(sheet: _Sheet, line: np.ndarray, width: float) -> None:
    across = np.array([width / 2, 0])
    sheet.shape(np.concatenate([line - across, line[::-1] + across]), "stem", sheet.lit(0))


def _leaf(sheet: _Sheet, base: np.ndarray, side: int, random: np.random.Generator) -> None:
    """Draw a leaf on one side of the stem; each half has its own light."""
    length, width = random.uniform(0.13, 0.2), random.uniform(0.025, 0.045)
    turn = _rotation(-side * random.uniform(-0.15, 0.9))
    along = np.linspace(0, 1, 16)
    spine = np.stack([along, np.zeros(16)], axis=1) * length
    for half in (-1, 1):
        edge = np.stack([along * length, half * width * np.sin(np.pi * along**0.8)], axis=1)
        outline = np.concatenate([spine, edge[::-1]]) * [side, 1]
        sheet.shape(outline @ turn.T + base, "leaves", sheet.lit(half * np.pi / 2))


def _flower(sheet: _Sheet, head: np.ndarray, random: np.random.Generator) -> None:
    """Draw petals around a centre, seen from the front or slightly from the side."""
    count, radius = int(random.integers(5, 9)), random.uniform(0.14, 0.19)
    width = radius * random.uniform(0.75, 0.95) * np.sin(np.pi / count) * 1.25
    seen = _rotation(random.uniform(0, np.pi)) @ np.diag([1, random.uniform(0.6, 1)])
    first = random.uniform(0, 2 * np.pi)
    for number in random.permutation(count):
        angle = first + 2 * np.pi * number / count
        turn = seen @ _rotation(angle)
        tone = sheet.lit(np.arctan2(turn[1, 0], turn[0, 0])) * random.uniform(0.94, 1.06)
        petal = _ellipse(radius * 0.36, width, along=radius * 0.64)
        crease = _ellipse(radius * 0.24, width * 0.35, along=radius * 0.5)
        sheet.shape(petal @ turn.T + head, "petals", tone)
        sheet.shape(crease @ turn.T + head, "petals", 0.86 * tone)
    core = radius * random.uniform(0.28, 0.36)
    sheet.shape(_ellipse(core, core) @ seen.T + head, "centre")
    sheet.shape(_ellipse(core * 0.6, core * 0.6) @ seen.T + head, "centre", 1.25)


def _background(random: np.random.Generator, foot: np.ndarray) -> np.ndarray:
    """Draw a wall with soft discs of light, a table, and the pot's shadow on it."""
    y, x = _grid()
    wall = _pale(random) * (1 + random.uniform(-0.2, 0.2) * (x - 0.5) + random.uniform(-0.2, 0.2) * (y - 0.5))
    for _ in range(random.integers(2, 7)):
        away = np.hypot(x - random.uniform(0, 1), y - random.uniform(0, 0.8)) / random.uniform(0.05, 0.16)
        disc = random.uniform(0.2, 0.6) / (1 + np.exp(np.clip(12 * (away - 1), -40, 40)))
        wall = wall + disc * (_pale(random) - wall)
    horizon = foot[1] - random.uniform(0.05, 0.14)
    table = _pale(random) * random.uniform(0.7, 0.95) * (1 - 0.3 * (y - horizon))
    shadow = np.exp(-(((x - foot[0]) / 0.2) ** 2 + ((y - foot[1]) / 0.045) ** 2))
    edge = np.clip((y - horizon) * SIZE + 0.5, 0, 1)
    return (wall * (1 - edge) + table * (1 - 0.45 * shadow) * edge).astype(np.float32)


def _light(random: np.random.Generator, angle: float) -> np.ndarray:
    y, x = _grid()
    slope = random.uniform(0, 0.35)
    towards = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    return (random.uniform(0.75, 1.1) * (1 + slope * towards)).astype(np.float32)


def _pale(random: np.random.Generator) -> np.ndarray:
    """A colour of any hue and little saturation, float ``[3]``."""
    hue = np.cos(random.uniform(0, 2 * np.pi) + np.array([0, 2, 4]) * np.pi / 3)
    return random.uniform(130, 215) * (1 + random.uniform(0, 0.22) * hue)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """The pixels' centres: y ``[SIZE, 1, 1]`` and x ``[1, SIZE, 1]``."""
    middles = (np.arange(SIZE, dtype=np.float32)[:, None] + 0.5) / SIZE
    return middles[:, None], middles[None]


def _ellipse(width: float, height: float, along: float = 0) -> np.ndarray:
    """40 points around ``(along, 0)``; half axes."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([width * np.cos(angles) + along, height * np.sin(angles)], axis=1)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _averaged(fine: np.ndarray) -> np.ndarray:
    """``[3 SIZE, 3 SIZE]`` to ``[SIZE, SIZE]``."""
    rows = np.add.reduce([fine[start::_FINER] for start in range(_FINER)])
    total: np.ndarray = np.add.reduce([rows[:, start::_FINER] for start in range(_FINER)])
    return total / np.float32(_FINER**2)
