"""How features are named and coloured on pages, figures and contact sheets: by the kind of their layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gazeback.eval.interpretation.layers import CONVOLUTION, DENSE, JOINING, POOLING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND_COLOURS = {CONVOLUTION: "#2563c9", POOLING: "#0b7a5f", JOINING: "#a8560f", DENSE: "#a3265a"}
KIND_NAMES = {CONVOLUTION: "convolution", POOLING: "pooling", JOINING: "joined paths", DENSE: "dense"}


def feature_title(number: int, filter_number: int) -> str:
    """``layer 12 · filter 34``."""
    return f"layer {number} · filter {filter_number}"


def fitting(layer: str, width: float) -> str:
    """A layer's name in small type in a width in inches: of a long path the end."""
    letters = max(8, int(width * 16))
    return layer if len(layer) <= letters else "…" + layer[1 - letters :]


def draw_legend(figure: Figure, kinds: Iterable[str], left: float, bottom: float) -> None:
    """The colours of some kinds of layers in one line; left and bottom in inches."""
    width, height = figure.get_size_inches()
    for kind in (kind for kind in KIND_COLOURS if kind in set(kinds)):
        text, colour = f"\u25a0 {KIND_NAMES[kind]}", KIND_COLOURS[kind]
        figure.text(left / width, bottom / height, text, size=8.5, va="center", color=colour)
        left += 0.35 + 0.075 * len(KIND_NAMES[kind])
