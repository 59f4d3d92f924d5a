"""The user's door: caption, words, evidence, and the page, figure and JSON that show them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazeback.grounding.words import GroundedWord, Grounding, ground, word_evidence

__all__ = ["GroundedWord", "Grounding", "ground", "word_evidence"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that the command line starts without TensorFlow.
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("gazeback.grounding.words"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
