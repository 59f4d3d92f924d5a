"""Drawn scenes of two or three things, with a caption and each thing's pixels. Same seed, same scenes."""

from dataclasses import dataclass

import numpy as np

from gazeback.eval.scenes.drawing import coverage, textured_ground
from gazeback.eval.scenes.scenes import COLOURS as ALL_COLOURS

SIDE = 64
COLOURS = {name: ALL_COLOURS[name] for name in ("red", "yellow", "green", "blue", "white", "black")}
SHAPES = ("circle", "square", "triangle", "cross", "star")
PAD, START, END, UNKNOWN = "", "startseq", "endseq", "unk"
WORDS = (PAD, START, END, UNKNOWN, "a", "and", *COLOURS, *SHAPES)
INDEX = {word: number for number, word in enumerate(WORDS)}
LENGTH = 9  # startseq a red circle and a blue square endseq


@dataclass(frozen=True, eq=False)
class Scene:
    """pixels: uint8 ``[SIDE, SIDE, 3]``; masks: bool ``[things, SIDE, SIDE]``; things: their (colour, shape).

    ``caption`` names two of the things, the first of them thing 0, the second thing 1.
    """

    pixels: np.ndarray
    masks: np.ndarray
    things: tuple[tuple[str, str], ...]

    @property
    def caption(self) -> str:
        return " and ".join(f"a {colour} {shape}" for colour, shape in self.things[:2])

    @property
    def named(self) -> list[tuple[int, int]]:
        """(place of the word in the caption, thing) of each colour and shape word."""
        return [(1, 0), (2, 0), (5, 1), (6, 1)]


def scene(seed: int, index: int) -> Scene:
    """Two or three things of different colours and shapes that do not touch, in a random order."""
    random = np.random.default_rng([seed, index])
    count = int(random.integers(2, 4))
    colours, shapes = random.permutation(list(COLOURS))[:count], random.permutation(SHAPES)[:count]
    radii = random.uniform(7, 11, count)
    covered = np.stack(
        [
            coverage(str(shape), *place, radius, random.uniform(-0.2, 0.2), SIDE)
            for shape, place, radius in zip(shapes, _places(random, radii), radii, strict=True)
        ]
    )
    pixels = textured_ground(random, SIDE)
    for colour, cover in zip(colours, covered, strict=True):
        paint = np.array(COLOURS[str(colour)]) + random.uniform(-12, 12, 3)
        pixels += cover[..., None] * (paint - pixels)
    things = tuple((str(colour), str(shape)) for colour, shape in zip(colours, shapes, strict=True))
    return Scene(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8), covered >= 0.5, things)


def scenes(seed: int, count: int) -> list[Scene]:
    return [scene(seed, index) for index in range(count)]


def encoded(scene: Scene) -> list[int]:
    """The caption as numbers, from start to end: ``LENGTH`` of them."""
    return [INDEX[word] for word in (START, *scene.caption.split(), END)]


def _places(random: np.random.Generator, radii: np.ndarray) -> list[tuple[float, float]]:
    reach = 1.2 * radii + 1
    while True:
        places = [tuple(random.uniform(r, SIDE - r, 2)) for r in reach]
        if all(
            np.hypot(*np.subtract(places[i], places[j])) >= reach[i] + reach[j]
            for i in range(len(radii))
            for j in range(i)
        ):
            return places
