"""DoodleNet (Chang, 2018): a small network for the 345 classes of Quick, Draw!"""

import keras
from keras import layers

IMAGE_SIZE = 28
CLASSES = 345


def build(classes: int = CLASSES) -> keras.Model:
    """DoodleNet with random weights.

    Input: float32 ``[n, 28, 28, 1]``, strokes 1 on 0. Output: class probabilities ``[n, classes]``.
    """
    image = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1), name="image")
    x = image
    for block, filters in enumerate((16, 32, 64), 1):
        for number in (1, 2):
            name = f"conv{block}_{number}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Dropout(0.25, name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(512, activation="tanh", name="fc1")(x)
    x = layers.Dense(classes, name="fc2")(x)
    return keras.Model(image, layers.Softmax(name="prob")(x), name="doodlenet")
