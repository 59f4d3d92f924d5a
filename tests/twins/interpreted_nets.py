"""Small classifiers of the structures that relevant features are read from."""

import keras
from keras import layers


def nested() -> keras.Model:
    """A convolution inside a nested model, one behind it, and a hidden dense layer."""
    image = keras.Input((8, 8, 3), name="image")
    inner = keras.Input((8, 8, 3))
    backbone = keras.Model(inner, layers.Conv2D(4, 3, name="inner")(inner), name="backbone")
    x = layers.Conv2D(2, 3, activation="relu", name="after")(backbone(image))
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(x))


def sharing() -> keras.Model:
    """One convolution applied twice."""
    image = keras.Input((8, 8, 2), name="image")
    twice = layers.Conv2D(2, 3, padding="same", name="twice")
    x = layers.Conv2D(3, 3, name="once")(twice(twice(image)))
    return keras.Model(image, layers.Dense(2, name="classes")(layers.Flatten()(x)))


def channels_first() -> tuple[keras.Model, keras.Model]:
    """The same network with the channels last and first."""

    def build(order: str) -> keras.Model:
        shape = (8, 8, 3) if order == "channels_last" else (3, 8, 8)
        image = keras.Input(shape)
        x = layers.Conv2D(4, 3, data_format=order)(image)
        x = layers.BatchNormalization(axis=-1 if order == "channels_last" else 1)(x)
        x = layers.GlobalAveragePooling2D(data_format=order)(layers.ReLU()(x))
        return keras.Model(image, layers.Dense(2)(x))

    return build("channels_last"), build("channels_first")
