"""What a word's visual share means, in one plain sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazeback.grounding.words import GroundedWord

LITTLE = 0.1  # a photo that brings less than this share of a word's probability hardly matters for it
AGAINST = -0.1  # nats below which the photo is said to speak against the word


def is_language_habit(word: GroundedWord) -> bool:
    """True where the words before, not the photo, explain the word: a visual share below `LITTLE`."""
    return not word.visual_share >= LITTLE


def verdict(word: GroundedWord, first: bool = False) -> str:
    """One sentence on where the word came from.

    Args:
        first: the word opens the caption, so there are no words before it.
    """
    source = "captions often begin so" if first else "the words before explain it"
    if not is_language_habit(word):
        return f"About {percent(word.visual_share)} of its probability came from the photo."
    if word.visual > 0:
        return f"Language habit: {source}; the photo adds little."
    if word.visual > AGAINST:
        return f"Language habit: {source}; the photo adds nothing."
    return f"Language habit: {source}; the photo makes it less likely."


def percent(share: float) -> str:
    """``0.734`` as ``73 %`` (with a no-break space); what is not a number as a dash."""
    return f"{100 * share:.0f}\u00a0%" if math.isfinite(share) else "\u2013\u00a0%"
