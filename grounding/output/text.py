"""Describe words and targets in plain sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazeback.grounding.captions import GroundedWord
    from gazeback.grounding.classes import Explanation, Prediction, Target


def one_line(message: object) -> str:
    """A message in one line, in which very long words and the message itself are cut."""
    words = (word if len(word) <= 200 else f"{word[:80]}...{word[-40:]}" for word in str(message).split())
    line = " ".join(words)
    return line if len(line) <= 900 else f"{line[:600]} ... {line[-200:]}"


def short(name: str) -> str:
    """The first of a class's names: "Egyptian cat" for "Egyptian cat, tabby"."""
    return name.split(",")[0] if "[" not in name else name


def synonyms(name: str) -> str:
    """The other names of a class, "" if it has only one."""
    return name[len(short(name)) :].lstrip(", ")


def probability_text(probability: float) -> str:
    """Format ``0.734`` as ``73 %`` (no-break space); below 10 % with one decimal; a dash if it is not a
    number.

    >>> [probability_text(p) for p in (0.734, 0.0123, 0.00001)]
    ['73\\xa0%', '1.2\\xa0%', '<\\xa00.1\\xa0%']
    """
    if not math.isfinite(probability):
        return "\u2013\u00a0%"
    if 0 < probability < 0.001:
        return "<\u00a00.1\u00a0%"
    return f"{100 * probability:.{1 if probability < 0.0995 else 0}f}\u00a0%"


def value_text(answer: Target | Prediction) -> str:
    """Format a class's probability, a neuron's activation, or a regression's value."""
    if answer.measure == "probability":
        return probability_text(answer.value)
    return f"activation {answer.value:.3g}" if answer.measure == "activation" else f"{answer.value:.4g}"


def target_verdict(target: Target, model: str) -> str:
    """Describe a model's answer for a target, to be read after the target's name."""
    if target.measure == "probability":
        return f"is {probability_text(target.value)} likely, says {model}."
    if target.measure == "value":
        return f"is {value_text(target)}, says {model}."
    return f"has the activation {target.value:.3g} in {model}."


def facts(explanation: Explanation, shape: tuple[int, int]) -> str:
    """The number of points, and the fraction of a photo of this (height, width) that the box covers.

    Points on a coarse grid are said to be so.
    """
    box = explanation.box(shape)
    if box is None:
        return "no evidence"
    share = probability_text(box[2] * box[3] / (shape[0] * shape[1]))
    if explanation.fixations is None:
        return f"heat map only, box {share}"
    count, grid = len(explanation.fixations), explanation.grid
    where = "" if grid is None else f" on a {grid[0]} \u00d7 {grid[1]} grid"
    return f"{count} point{'s' * (count != 1)}{where}, box {share}"


def places(explanation: Explanation) -> str:
    """The number of points in an array, and the coordinates of the heaviest one."""
    found = explanation.fixations
    if found is None or not len(found):
        return "no evidence"
    heaviest = ", ".join(str(int(side)) for side in found.points[found.weights.argmax()])
    return f"{len(found)} point{'s' * (len(found) != 1)}, most at {heaviest}"


NOT_MEASURED = "not measured"  # shown instead of figures that need an average picture

LITTLE = 0.1  # if the photo contributes less than this fraction of a word's probability, it hardly matters

AGAINST = -0.1  # below this number of nats the photo is evidence against the word


def is_language_habit(word: GroundedWord) -> bool:
    """Whether the words before, and not the photo, explain the word: its visual share is below `LITTLE`.

    If the share was not measured, this is unknown, and False.
    """
    return word.visual_share is not None and not word.visual_share >= LITTLE


DOUBTFUL = 0.5  # a word is likely false if its support is below this


def is_doubtful(word: GroundedWord) -> bool:
    """Whether the word is likely false: its support is below `DOUBTFUL`.

    If the captioner has no support, this is unknown, and False.
    """
    return word.support is not None and word.support < DOUBTFUL


def truth(word: GroundedWord) -> str:
    """One sentence that says whether the word is likely true; empty if that is unknown."""
    if word.support is None:
        return ""
    return f"Likely {'false' if is_doubtful(word) else 'true'}: its support is {percent(word.support)}."


def verdict(word: GroundedWord, first: bool = False) -> str:
    """One sentence that says where the word came from.

    Args:
        first: the word opens the caption, so there are no words before it.
    """
    if word.visual is None:
        return f"Visual share: {NOT_MEASURED}, as the captioner has no average picture."
    source = "captions often begin so" if first else "the words before explain it"
    if not is_language_habit(word):
        return f"The photo changed this word: it contributed {percent(word.visual_share)} of its probability."
    if word.visual > 0:
        return f"Language habit: {source}; the photo adds little."
    if word.visual > AGAINST:
        return f"Language habit: {source}; the photo adds nothing."
    return f"Language habit: {source}; the photo makes it less likely."


def percent(share: float | None) -> str:
    """Format ``0.734`` as ``73 %`` (no-break space); a dash if it is not a number; "not measured" for
    None."""
    if share is None:
        return NOT_MEASURED
    return f"{100 * share:.0f}\u00a0%" if math.isfinite(share) else "\u2013\u00a0%"
