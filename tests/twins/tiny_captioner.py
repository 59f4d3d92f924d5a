"""A captioner of a few hundred random weights, as a user's own ``package.module:function``."""

import keras
import numpy as np

from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner
from gazeback.models.vocabulary import Vocabulary


def make(side: int = 16) -> Captioner:
    image = keras.Input((side, side, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-1)(image)
    x = keras.layers.Conv2D(6, 3, 2, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="last")(x)
    vocabulary = Vocabulary.from_captions([["a", "red", "and", "blue", "photo"]], min_count=1)
    model = show_and_tell.build(keras.Model(image, x), len(vocabulary), embedding_size=5, units=7)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.normal(0, 0.8, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return Captioner(model, vocabulary, rng.random(8).astype(np.float32), "last", "tiny")
