"""Two small captioners for scenes: one averages the encoder's last map, one reads it location by location."""

import keras
import numpy as np
from keras import layers

from gazeback.models import show_and_tell
from gazeback.models.vocabulary import Vocabulary

HEADS = ("gap", "flatten")
SIDE = 96
"""The side of a scene in pixels."""
WORDS = (
    *("a", "and", "of", "left", "right", "above", "below", "big", "small"),
    *("red", "pink", "yellow", "green", "blue", "purple", "white", "black"),
    *("circle", "square", "triangle", "diamond", "cross", "star", "look", "see", "here", "there"),
)
"""All words of the scenes' captions."""
LAST_MAP = "last_map"
ENCODER = tuple(f"block{number}" for number in range(1, 7))
"""The convolutions that both heads share."""
EMBEDDING, UNITS = 128, 192
_FLAT_CHANNELS = 24


def vocabulary() -> Vocabulary:
    """The vocabulary of ``WORDS``."""
    return Vocabulary.from_captions([WORDS], min_count=1)


def build(head: str) -> keras.Model:
    """Build a captioner's model (see ``Captioner``) with random weights; ``head``: one of ``HEADS``.

    Layers and names are those of ``show_and_tell``, and the head "gap" is the same network. The head
    "flatten" averages the last map over 2 x 2 locations and learns each of the 6 x 6 results separately.
    """
    image = keras.Input((SIDE, SIDE, 3), name="image")
    features = _encoder(image, head)
    pooled = (
        layers.GlobalAveragePooling2D(name=show_and_tell.POOL)(features)
        if head == "gap"
        else layers.Flatten(name="flatten")(layers.AveragePooling2D(2, name="fewer_places")(features))
    )
    embedded = layers.Dense(EMBEDDING, name=show_and_tell.IMAGE_EMBEDDING)(pooled)
    embedded = layers.BatchNormalization(momentum=0.98, name=show_and_tell.IMAGE_SCALE)(embedded)
    words = keras.Input((None,), dtype="int32", name="words")
    of_words = layers.Embedding(
        len(vocabulary()),
        EMBEDDING,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
        name=show_and_tell.WORD_EMBEDDING,
    )(words)
    steps = layers.Concatenate(axis=1, name="image_then_words")(
        [layers.Reshape((1, EMBEDDING), name="image_step")(embedded), of_words]
    )
    hidden = layers.LSTM(UNITS, return_sequences=True, name=show_and_tell.LSTM)(steps)
    logits = layers.Dense(len(vocabulary()), name=show_and_tell.WORD_LOGITS)(hidden)
    return keras.Model([image, words], logits, name=f"scenes_{head}")


def _encoder(image: keras.KerasTensor, head: str) -> keras.KerasTensor:
    """Build the encoder, whose last map ``[n, 12, 12, C]`` is aligned with the picture.

    A stride with padding "same" shifts the receptive fields by half a pixel, down and right. The last
    convolution is padded on the other side. The centre of a receptive field is then half a pixel away from
    the location's own centre.
    """
    x = layers.Rescaling(1 / 64, offset=-2.0, name="rescaling")(image)
    x = _convolution(x, 16, "block1", strides=2)
    x = _convolution(x, 32, "block2", strides=2)
    x = _convolution(x, 32, "block3")
    x = _with_places(x)
    x = layers.ZeroPadding2D(((1, 0), (1, 0)), name="block4_pad")(x)
    x = _convolution(x, 64, "block4", strides=2, padding="valid")
    x = _convolution(x, 64, "block5")
    x = _convolution(x, 128, "block6", kernel=1, last=head == "gap")
    return x if head == "gap" else _convolution(x, _FLAT_CHANNELS, "block7", kernel=1, last=True)


def _convolution(
    x: keras.KerasTensor,
    channels: int,
    name: str,
    strides: int = 1,
    kernel: int = 3,
    padding: str = "same",
    last: bool = False,
) -> keras.KerasTensor:
    x = layers.Conv2D(channels, kernel, strides, padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.98, name=f"{name}_bn")(x)
    return layers.ReLU(name=LAST_MAP if last else f"{name}_relu")(x)


def _with_places(x: keras.KerasTensor) -> keras.KerasTensor:
    """Add the location to four channels, which an average over the map would lose."""
    height, width, channels = x.shape[1:]
    down, right = (np.linspace(-1, 1, side) for side in (height, width))
    places = np.zeros((height, width, channels), np.float32)
    places[..., 0], places[..., 1] = down[:, None], -down[:, None]
    places[..., 2], places[..., 3] = right, -right
    # subtracts a fixed "mean" at each location; the only layer of Keras that adds a constant map
    return layers.Normalization(
        axis=(1, 2, 3), mean=-2 * places, variance=np.ones_like(places), name="places"
    )(x)
