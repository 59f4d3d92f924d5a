"""The small captioners of drawn scenes, by name. Loads nothing until one is asked for.

They lie with the benchmark that they are for, `gazeback.eval.scenes`, which this package does not import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazeback.models.captioner import Captioner

HEADS = {"scenes-gap": "gap", "scenes-flatten": "flatten"}
_HOME = "gazeback.eval.scenes.bundled"


def load(name: str) -> "Captioner":
    """The captioner with one of the names of ``HEADS``; raises ModelError if its file is missing."""
    captioner: Captioner = import_module(_HOME).load(HEADS[name])
    return captioner
