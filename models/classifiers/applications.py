"""The networks of ``keras.applications`` as classifiers: by name, with their own preprocessing."""

import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import keras

from gazeback.models.classifiers import class_names
from gazeback.models.classifiers.classifier import Classifier, input_shape, output_classes
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError, first_line

# What the weights of a family expect (its module's own ``preprocess_input``); the families that are not
# named here carry their preprocessing inside the network.
VALUES = {
    "vgg16": "caffe",
    "vgg19": "caffe",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "inception_v3": "tf",
    "inception_resnet_v2": "tf",
    "xception": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "nasnet": "tf",
    "densenet": "torch",
}


def known() -> dict[str, Callable[..., keras.Model]]:
    """The networks by their names in lower case: ``{"vgg16": keras.applications.VGG16, ...}``."""
    functions = inspect.getmembers(keras.applications, inspect.isfunction)
    return {name.lower(): function for name, function in functions}


def values_of(application: Callable[..., keras.Model]) -> str:
    """The preprocessing that a network's ImageNet weights expect: a key of ``preprocessing.VALUES``."""
    return VALUES.get(application.__module__.rpartition(".")[2], "none")


def load(name: str, weights: str | Path | None, placement: str) -> Classifier:
    """Build the network ``name`` with ImageNet weights (``"imagenet"``, downloaded once by Keras), random
    weights (None), or the weights of a ``.weights.h5`` file.

    Raises ModelError: the weights cannot be loaded.
    """
    application = known()[name]
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ModelError(f"{weights}: no such file; expected weights of {name}, or imagenet")
    try:
        with redirect_stdout(sys.stderr):  # Keras announces a download where results belong
            model = application(weights=None if weights is None else str(weights))
    except Exception as error:  # a failed download raises a bare Exception
        raise ModelError(
            f"the {weights} weights of {name} could not be loaded: {first_line(error)}"
        ) from None
    preprocess = Preprocessing(*input_shape(model), placement=placement, values=values_of(application))
    assert output_classes(model) == class_names.IMAGENET_CLASSES
    return Classifier(model, class_names.imagenet(), preprocess, name)
