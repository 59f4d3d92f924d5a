"""What page, figure and terminal say about a target and its explanations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazeback.grounding.classes import Explanation, Target


def short(name: str) -> str:
    """The first of a class's names: "Egyptian cat" of "Egyptian cat, tabby"."""
    return name.split(",")[0] if "[" not in name else name


def synonyms(name: str) -> str:
    """The other names of a class, "" where it has but one."""
    return name[len(short(name)) :].lstrip(", ")


def probability_text(probability: float) -> str:
    """``0.734`` as ``73 %``; below 10 % with a decimal (no-break space); what is not a number as a dash.

    >>> [probability_text(p) for p in (0.734, 0.0123, 0.00001)]
    ['73\\xa0%', '1.2\\xa0%', '<\\xa00.1\\xa0%']
    """
    if not math.isfinite(probability):
        return "\u2013\u00a0%"
    if 0 < probability < 0.001:
        return "<\u00a00.1\u00a0%"
    return f"{100 * probability:.{1 if probability < 0.0995 else 0}f}\u00a0%"


def value_text(target: Target) -> str:
    """A class's probability, or a neuron's activation."""
    return probability_text(target.value) if target.layer is None else f"activation {target.value:.3g}"


def verdict(target: Target, model: str) -> str:
    """What a model makes of a target, to be read after its name."""
    if target.layer is None:
        return f"is {probability_text(target.value)} likely, says {model}."
    return f"has the activation {target.value:.3g} in {model}."


def facts(explanation: Explanation, shape: tuple[int, int]) -> str:
    """How many points there are, and how much of a photo of this (height, width) the box takes."""
    box = explanation.box(shape)
    if box is None:
        return "no evidence"
    share = probability_text(box[2] * box[3] / (shape[0] * shape[1]))
    if explanation.fixations is None:
        return f"heat map only, box {share}"
    count = len(explanation.fixations)
    return f"{count} point{'s' * (count != 1)}, box {share}"
