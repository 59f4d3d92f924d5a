"""The convolutional network that all captioners of the zoo look through, trained once to name the things."""

import keras
import numpy as np
from keras import layers
from zoo.scenes import COLOURS, SHAPES, SIDE, Scene

CHANNELS = 64


def preprocess(images: np.ndarray) -> np.ndarray:
    """RGB 0..255 to about -2..2, as the zoo's authors feed their networks."""
    return np.asarray(images, np.float32) / 64 - 2


def build_encoder() -> keras.Model:
    """Pictures ``[n, 64, 64, 3]`` (preprocessed) to maps ``[n, 8, 8, 64]``."""
    image = keras.Input((SIDE, SIDE, 3), name="picture")
    x = _convolution(image, 16, 2)
    x = _convolution(x, 32, 2)
    x = _convolution(x, 48, 1)
    x = _convolution(x, 64, 2)
    x = _convolution(x, CHANNELS, 1)
    return keras.Model(image, x, name="encoder")


def _convolution(x: keras.KerasTensor, channels: int, strides: int) -> keras.KerasTensor:
    x = layers.Conv2D(channels, 3, strides, "same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def train_encoder(training: list[Scene], epochs: int, seed: int = 0) -> keras.Model:
    """An encoder whose map tells, place by place and on average, which colour and shape go together."""
    keras.utils.set_random_seed(seed)
    encoder = build_encoder()
    pairs = len(COLOURS) * len(SHAPES)
    somewhere = layers.GlobalMaxPooling2D()(layers.Conv2D(pairs, 1)(encoder.output))
    on_average = layers.Dense(pairs)(layers.GlobalAveragePooling2D()(encoder.output))
    model = keras.Model(encoder.input, [somewhere, on_average])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), [loss, loss])
    pixels = preprocess(np.stack([scene.pixels for scene in training]))
    labels = np.stack([_labels(scene) for scene in training])
    model.fit(pixels, [labels, labels], 64, epochs, verbose=0)
    encoder.trainable = False
    return encoder


def _labels(scene: Scene) -> np.ndarray:
    """Which of the pairs of colour and shape the scene shows: float32 ``[30]``."""
    labels = np.zeros((len(COLOURS), len(SHAPES)), np.float32)
    for colour, shape in scene.things:
        labels[list(COLOURS).index(colour), SHAPES.index(shape)] = 1
    return labels.ravel()
