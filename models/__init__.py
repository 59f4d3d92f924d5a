"""Models to explain: captioners and classifiers, vocabularies, weights, and the preprocessing of photos.

Each name is imported when it is first used, so importing the package does not load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazeback.models.captioner import Caption, Captioner, load_captioner
    from gazeback.models.classifiers import Classifier, load_classifier
    from gazeback.models.errors import UserError
    from gazeback.models.photos import Photo, load_photo, squeeze
    from gazeback.models.vocabulary import Vocabulary, tokenize
    from gazeback.models.wrapping.wrap import wrap_captioner

_HOMES = {
    "Caption": "captioner",
    "Captioner": "captioner",
    "load_captioner": "captioner",
    "Classifier": "classifiers",
    "load_classifier": "classifiers",
    "UserError": "errors",
    "Photo": "photos",
    "load_photo": "photos",
    "squeeze": "photos",
    "Vocabulary": "vocabulary",
    "tokenize": "vocabulary",
    "wrap_captioner": "wrapping.wrap",
}
__all__ = [
    "Caption",
    "Captioner",
    "Classifier",
    "Photo",
    "UserError",
    "Vocabulary",
    "load_captioner",
    "load_classifier",
    "load_photo",
    "squeeze",
    "tokenize",
    "wrap_captioner",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
