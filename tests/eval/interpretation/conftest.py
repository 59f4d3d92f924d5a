"""A classifier of colours with two convolutions, and folders of coloured squares, one for each class."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from gazeback.eval.interpretation.class_folder import Photos, read_photos
from gazeback.eval.interpretation.forward import Network
from gazeback.eval.interpretation.responses import Responses, collect
from gazeback.models.classifiers import Classifier, Preprocessing

SIDE = 16
COLOURS = ("red", "green", "blue")


def colour_model() -> keras.Model:
    """Six filters, of which the first three answer to a colour each; mixed once more, then pooled."""
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Conv2D(6, 4, strides=4, use_bias=False, name="colours")(image)
    x = keras.layers.BatchNormalization(name="norm", center=False, scale=False, epsilon=0.0)(x)
    x = keras.layers.ReLU(name="rectified")(x)
    x = keras.layers.Conv2D(3, 1, use_bias=False, activation="relu", name="mixed")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(x))
    colours = np.concatenate([np.eye(3), 0.1 * np.ones((3, 3))], axis=1)
    model.get_layer("colours").set_weights([np.broadcast_to(colours / 16, (4, 4, 3, 6))])
    model.get_layer("mixed").set_weights([np.vstack([np.eye(3), np.zeros((3, 3))])[None, None]])
    model.get_layer("classes").set_weights([0.1 * np.eye(3), np.zeros(3)])
    return model


@pytest.fixture(scope="session")
def colours() -> Classifier:
    return Classifier(colour_model(), COLOURS, Preprocessing(SIDE, SIDE), "colours")


@pytest.fixture(scope="session")
def means() -> Classifier:
    """One convolution, whose filters are the mean of 4 x 4 pixels of a colour each; then pooled."""
    image = keras.Input((2 * SIDE, 2 * SIDE, 3), name="image")
    x = keras.layers.Conv2D(3, 4, strides=4, activation="relu", name="means")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(x))
    model.get_layer("means").set_weights([np.broadcast_to(np.eye(3) / 16, (4, 4, 3, 3)), np.zeros(3)])
    model.get_layer("classes").set_weights([np.eye(3), np.zeros(3)])
    return Classifier(model, COLOURS, Preprocessing(2 * SIDE, 2 * SIDE), "means")


@pytest.fixture(scope="session")
def network(colours) -> Network:
    return Network.of(colours)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures of a class: noise in which the colour of the class is strong."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(COLOURS):
        (tmp_path / "squares" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 90, (SIDE, SIDE, 3), np.uint8)
            pixels[..., label] += 90
            Image.fromarray(pixels).save(tmp_path / "squares" / name / f"{name}{number}.png")
    return tmp_path / "squares"


@pytest.fixture
def photos(folder) -> Photos:
    return read_photos(folder)


@pytest.fixture
def responses(network, photos, tmp_path) -> Responses:
    return collect(network, photos.paths, tmp_path / "responses")
