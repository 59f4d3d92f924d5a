"""Networks that classify flowers: like the paper's network for MNIST, for larger pictures in colour.

They have convolutions with rectifiers and pools in turn, then two dense layers on the flattened last map.
"""

from __future__ import annotations

from pathlib import Path

import keras

from gazeback.eval.flowers.drawing import SIZE
from gazeback.eval.flowers.flowers import KINDS, class_names
from gazeback.models.classifiers import Classifier, Preprocessing, half_precision
from gazeback.models.errors import ModelError, UserError

NETWORK = "flowers"

_WEIGHTS = Path(__file__).parent / "weights"


def build(classes: int) -> keras.Model:
    """Build a network with random weights from pictures ``[n, 128, 128, 3]``, 0 to 255, to probabilities
    ``[n, classes]``."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scale")(image)
    for number, (filters, kernel) in enumerate([(12, 5), (16, 3), (16, 3)], 1):
        x = keras.layers.Conv2D(filters, kernel, padding="same", activation="relu", name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(48, activation="relu", name="hidden")(x)
    answer = keras.layers.Dense(classes, activation="softmax", name="classes")(x)
    return keras.Model(image, answer, name=NETWORK)


def classifier_of(kind: str, model: keras.Model) -> Classifier:
    """Wrap a network with the names of its classes. Raises UserError: there is no such kind."""
    return Classifier(model, class_names(kind), Preprocessing(SIZE, SIZE), f"flowers-{kind}")


def load_network(kind: str) -> Classifier:
    """Load the bundled network.

    Raises:
        UserError: there is no such kind; ModelError: its weights are missing.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of flowers {kind!r}; there are {' and '.join(KINDS)}")
    return read_half(_WEIGHTS / f"{kind}.npz")


def read_half(path: Path) -> Classifier:
    """Read a network that :func:`write_half` wrote. Raises ModelError."""
    if not path.is_file():
        raise ModelError(f"{path}: there is no such network; train one with gazeback train flowers")
    return half_precision.load(path, networks={NETWORK: build})


def write_half(classifier: Classifier, path: Path) -> None:
    """Write a network in half precision, the format of the bundled ones."""
    half_precision.write(classifier, NETWORK, {"classes": len(classifier.class_names)}, path)
