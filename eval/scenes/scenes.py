"""Draw scenes: a few objects on textured ground with exact masks. The same seed gives the same scene."""

from dataclasses import dataclass

import numpy as np

from gazeback.eval.scenes.drawing import REACH, SHAPES, coverage, textured_ground

SIDE = 96
"""The side of a scene in pixels."""

COLOURS = {
    "red": (215, 35, 35),
    "pink": (250, 140, 195),
    "yellow": (240, 225, 40),
    "green": (40, 165, 50),
    "blue": (40, 75, 215),
    "purple": (145, 45, 165),
    "white": (243, 243, 243),
    "black": (22, 22, 22),
}
SIZES = {"big": (16.0, 19.0), "small": (10.0, 12.0)}
"""The range of the radius in pixels."""

MOST_OBJECTS = 4
_MOST_BIG = 2
_TILT = np.pi / 15
"""The largest rotation in radians, too small to turn a square into a diamond."""


@dataclass(frozen=True)
class Thing:
    """An object of a scene. ``row``, ``column`` (of its centre) and ``radius`` in pixels, ``angle`` in
    radians.
    """

    size: str
    colour: str
    shape: str
    row: float
    column: float
    radius: float
    angle: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with its ground truth.

    pixels: uint8 ``[SIDE, SIDE, 3]``, RGB. things: two to four, all of different colours and shapes; none
    hides another. masks: bool ``[things, SIDE, SIDE]``, the pixels that a thing covers by at least half.
    """

    seed: int
    index: int
    pixels: np.ndarray
    things: tuple[Thing, ...]
    masks: np.ndarray

    @property
    def name(self) -> str:
        return f"scene-{self.seed}-{self.index:05d}"


def scene(seed: int, index: int) -> Scene:
    """Draw scene number ``index`` of a seed; any two pairs of numbers give different scenes."""
    random = np.random.default_rng([seed, index])
    things = _things(random)
    covered = np.stack([coverage(t.shape, t.row, t.column, t.radius, t.angle, SIDE) for t in things])
    pixels = textured_ground(random, SIDE)
    for thing, cover in zip(things, covered, strict=True):
        pixels += cover[..., None] * (_paint(thing, random) - pixels)
    masks = covered >= 0.5
    return Scene(seed, index, np.rint(np.clip(pixels, 0, 255)).astype(np.uint8), things, masks)


def _things(random: np.random.Generator) -> tuple[Thing, ...]:
    count = int(random.integers(2, MOST_OBJECTS + 1))
    big = int(random.integers(max(0, count - MOST_OBJECTS + 1), min(count, _MOST_BIG) + 1))
    colours = random.permutation(list(COLOURS))[:count]
    shapes = random.permutation(list(SHAPES))[:count]
    sizes = ["big"] * big + ["small"] * (count - big)
    radii = [float(random.uniform(*SIZES[size])) for size in sizes]
    places = _places(random, radii)
    return tuple(
        Thing(size, str(colour), str(shape), *place, radius, float(random.uniform(-_TILT, _TILT)))
        for size, colour, shape, place, radius in zip(sizes, colours, shapes, places, radii, strict=True)
    )


def _places(random: np.random.Generator, radii: list[float]) -> list[tuple[float, float]]:
    """Draw centres whose circles touch neither each other nor the edge; start again if they do."""
    reach = [REACH * radius for radius in radii]
    while True:
        places = [tuple(random.uniform(r + 1, SIDE - r - 1, 2)) for r in reach]
        apart = all(
            np.hypot(a[0] - b[0], a[1] - b[1]) >= reach[i] + reach[j]
            for i, a in enumerate(places)
            for j, b in enumerate(places[:i])
        )
        if apart:
            return [(float(row), float(column)) for row, column in places]


def _paint(thing: Thing, random: np.random.Generator) -> np.ndarray:
    """The thing's colour, slightly changed, with noise: float64 ``[SIDE, SIDE, 3]``."""
    grain = 5 * random.standard_normal((SIDE, SIDE, 1), np.float32)
    return np.array(COLOURS[thing.colour]) + random.uniform(-12, 12, 3) + grain
