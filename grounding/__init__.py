"""The user's door: an answer, its evidence, and the page, figure and JSON that show them.

Names are handed on when first used, so that the command line starts without TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazeback.grounding.classes import TracedPhoto, trace_photo
    from gazeback.grounding.words import GroundedWord, Grounding, ground, word_evidence

_HOMES = {
    "GroundedWord": "words",
    "Grounding": "words",
    "TracedPhoto": "classes",
    "ground": "words",
    "trace_photo": "classes",
    "word_evidence": "words",
}
__all__ = ["GroundedWord", "Grounding", "TracedPhoto", "ground", "trace_photo", "word_evidence"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
