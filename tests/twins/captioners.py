"""Small recurrent models that see an image."""

import keras
import pytest
from keras import layers
from packaging.version import Version

SIDE, VOCABULARY = 6, 7
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
GATES = ("sigmoid", "hard_sigmoid", "tanh")
MASKS = [False, True] if Version(keras.__version__) >= Version("3.12") else [False]
"""Before Keras 3.12 a model in which masked words follow an image step does not run."""

masked = pytest.mark.skipif(
    True not in MASKS,
    reason=f"Keras {keras.__version__}: masked words behind an image step run since Keras 3.12",
)


def recurrent_layer(kind, units, **keywords):
    if kind == "lstm":
        keywords.pop("reset_after", None)
        return layers.LSTM(units, **keywords)
    return layers.GRU(units, **keywords)


def image_embedding(units, name="image_embedding"):
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu")(image)
    return image, layers.Dense(units, name=name)(layers.GlobalAveragePooling2D()(x))


def captioner(kind="lstm", words=4, units=5, mask_zero=False, logits=True, **keywords):
    """The image is the first step, the words follow (Show and Tell); logits at every step."""
    image, embedded = image_embedding(4)
    ids = keras.Input((words,), name="words", dtype="int32")
    text = layers.Embedding(VOCABULARY, 4, mask_zero=mask_zero)(ids)
    steps = layers.Concatenate(axis=1)([layers.Reshape((1, 4))(embedded), text])
    layer = recurrent_layer(kind, units, return_sequences=True, name="recurrent", **keywords)
    x = layer(steps)
    return keras.Model([image, ids], layers.Dense(VOCABULARY, name="logits")(x) if logits else x)


def captioner_inputs(rng, n=2, words=4):
    ids = rng.integers(1, VOCABULARY, size=(n, words))
    for i in range(1, n):
        ids[i, words - i :] = 0
    return [rng.normal(size=(n, SIDE, SIDE, 3)).astype("float32"), ids.astype("int32")]
