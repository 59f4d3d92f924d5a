"""Methods of other packages, to time beside ours; each package is optional.

Their names are `PACKAGE:METHOD`. They explain the model's output as it is, including a softmax.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import UserError

Explain = Callable[[np.ndarray], np.ndarray]
"""From float32 images `[n, height, width, channels]` to maps `[n, height, width]`."""


def _xplique(class_name: str) -> Callable[[keras.Model, int], Explain]:
    def build(model: keras.Model, target: int) -> Explain:
        explainer = getattr(_imported("xplique.attributions"), class_name)(model)

        def explain(images: np.ndarray) -> np.ndarray:
            asked = np.zeros((len(images), model.output_shape[-1]), np.float32)
            asked[:, target] = 1
            return np.asarray(explainer.explain(images, asked)).reshape(images.shape[:3])

        return explain

    return build


def _tf_keras_vis(module: str, class_name: str) -> Callable[[keras.Model, int], Explain]:
    def build(model: keras.Model, target: int) -> Explain:
        scores = _imported("tf_keras_vis.utils.scores")
        visualiser = getattr(_imported(f"tf_keras_vis.{module}"), class_name)(model, clone=False)

        def explain(images: np.ndarray) -> np.ndarray:
            found: np.ndarray = visualiser(scores.CategoricalScore([target] * len(images)), images)
            return np.asarray(found)

        return explain

    return build


PEERS: dict[str, Callable[[keras.Model, int], Explain]] = {
    "xplique:saliency": _xplique("Saliency"),
    "xplique:grad-cam": _xplique("GradCAM"),
    "tf-keras-vis:saliency": _tf_keras_vis("saliency", "Saliency"),
    "tf-keras-vis:grad-cam": _tf_keras_vis("gradcam", "Gradcam"),
}


def peer(name: str, model: keras.Model, target: int) -> Explain:
    """Build the method of another package for one model and class; its warnings are suppressed.

    Raises:
        UserError: the package is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explain = PEERS[name](model, target)

    def quiet(images: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return explain(images)

    return quiet


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise UserError(
            f"the package {package} is not installed ({error}); see docs/compared.md, or leave its "
            "methods out"
        ) from None
