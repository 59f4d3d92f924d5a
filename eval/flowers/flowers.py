"""Potted flowers whose class is the colour of a part: a data set with known explanations.

It is similar to an8Flower (Oramas, Wang, Tuytelaars, *Visual Explanation by Interpretation*, ICLR 2019,
section 4.3), with our own drawings. In *single-6c* the class is the colour of the petals. In *double-12c*
petals or pot have a colour, and the class is which of them and which colour. Everything else (pose, scale,
light, background, the colours of the other parts) is drawn before the class is known, so nothing outside the
mask reveals it. No picture is stored: each is drawn from its kind, seed and index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gazeback.eval.flowers.drawing import Colour, Drawing
from gazeback.models.errors import UserError

COLOURS: dict[str, Colour] = {
    "red": (212, 42, 40),
    "orange": (240, 136, 28),
    "yellow": (244, 214, 48),
    "blue": (52, 96, 220),
    "violet": (140, 62, 190),
    "pink": (242, 116, 180),
}

KINDS: dict[str, tuple[str, ...]] = {"single-6c": ("petals",), "double-12c": ("petals", "pot")}
"""The parts that may have the colour of a class."""

SEEDS = {"train": 0, "held-out": 2, "tune": 3, "report": 5}
"""The seeds of the parts, which have no picture in common. Networks are trained on "train"; settings of
methods are chosen on "tune"."""


@dataclass(frozen=True, eq=False)
class Flower:
    """A picture, uint8 ``[128, 128, 3]``; the pixels that decide its class, bool ``[128, 128]``; the
    class."""

    image: np.ndarray
    mask: np.ndarray
    label: int


def class_names(kind: str) -> tuple[str, ...]:
    """The classes, such as "red petals", in the order of their numbers. Raises UserError."""
    return tuple(f"{colour} {part}" for part, colour in _classes(kind))


def flower(kind: str, seed: int, index: int) -> Flower:
    """Draw the picture with this index, of the class ``index % number of classes``.

    Args:
        kind: ``"single-6c"`` or ``"double-12c"``.
        seed: the seed of a series of pictures (see ``SEEDS``), 0 or above; ``index``: 0 or above.

    Raises:
        UserError: there is no such kind, or a number is negative.
    """
    classes = _classes(kind)
    if seed < 0 or index < 0:
        raise UserError(f"expected a seed and an index from 0, got {seed} and {index}")
    label = index % len(classes)
    part, colour = classes[label]
    image, mask = Drawing.draw(np.random.default_rng([seed, index])).painted(part, COLOURS[colour])
    return Flower(image, mask, label)


def flowers(kind: str, seed: int, indices: Iterable[int]) -> Iterator[Flower]:
    """Yield flowers, drawn one after another; see :func:`flower`."""
    return (flower(kind, seed, index) for index in indices)


def _classes(kind: str) -> list[tuple[str, str]]:
    if kind not in KINDS:
        raise UserError(f"unknown kind of flowers {kind!r}; there are {' and '.join(KINDS)}")
    return [(part, colour) for part in KINDS[kind] for colour in COLOURS]
