"""Classifiers: networks with their class names and the preprocessing of photos.

Each name is imported when it is first used, so importing the package does not load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazeback.models.classifiers.caffe_layers import LocalResponseNormalization
    from gazeback.models.classifiers.classifier import ArrayClassifier, Classifier
    from gazeback.models.classifiers.load import (
        known_classifiers,
        load_array_classifier,
        load_classifier,
    )
    from gazeback.models.classifiers.preprocessing import ModelInput, Preprocessing

_HOMES = {
    "ArrayClassifier": "classifier",
    "Classifier": "classifier",
    "LocalResponseNormalization": "caffe_layers",
    "ModelInput": "preprocessing",
    "Preprocessing": "preprocessing",
    "known_classifiers": "load",
    "load_array_classifier": "load",
    "load_classifier": "load",
}
__all__ = [
    "ArrayClassifier",
    "Classifier",
    "LocalResponseNormalization",
    "ModelInput",
    "Preprocessing",
    "known_classifiers",
    "load_array_classifier",
    "load_classifier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
