"""Entry points for users: explain a caption or a class, and write the page, figure and JSON.

Each name is imported when it is first used, so the command line starts without TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazeback.grounding.arrays import TracedArray, trace_array
    from gazeback.grounding.captions import GroundedWord, Grounding, ground, word_evidence
    from gazeback.grounding.classes import TracedPhoto, trace_photo

_HOMES = {
    "GroundedWord": "captions",
    "Grounding": "captions",
    "TracedArray": "arrays",
    "TracedPhoto": "classes",
    "ground": "captions",
    "trace_array": "arrays",
    "trace_photo": "classes",
    "word_evidence": "captions",
}
__all__ = [
    "GroundedWord",
    "Grounding",
    "TracedArray",
    "TracedPhoto",
    "ground",
    "trace_array",
    "trace_photo",
    "word_evidence",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
