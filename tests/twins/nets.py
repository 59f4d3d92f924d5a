"""Small random Keras models of many shapes, for the tests to trace."""

import keras
import numpy as np
from keras import layers, ops


def randomise(model, rng):
    """Weights of both signs everywhere, negative gammas among them; variances stay positive."""
    for weight in model.weights:
        values = rng.normal(size=weight.shape) / np.sqrt(max(np.prod(weight.shape[:-1]), 1)) * 1.5
        if "variance" in weight.path:
            values = rng.uniform(0.3, 2.0, size=weight.shape)
        elif "gamma" in weight.path:
            values = rng.uniform(0.5, 1.5, size=weight.shape) * rng.choice([-1, 1], size=weight.shape)
        elif "bias" in weight.path or "beta" in weight.path:
            values = rng.normal(size=weight.shape) * 0.3
        weight.assign(values.astype("float32"))
    return model


def images(rng, n, model):
    """``n`` random images for a model, both signs."""
    return rng.normal(size=(n, *model.input_shape[1:])).astype("float32")


def pick(rng, *options):
    return options[int(rng.integers(len(options)))]


def random_conv(rng, channels_in, filters=None, **settings):
    """A convolution with random kernel, stride or dilation, padding and groups."""
    strides, dilation = pick(
        rng, ((1, 1), 1), ((2, 2), 1), ((2, 1), 1), ((1, 3), 1), ((1, 1), 2), ((1, 1), (1, 2))
    )
    groups = pick(rng, *[g for g in (1, 2, 3) if channels_in % g == 0])
    filters = filters or groups * int(rng.integers(1, 4))
    groups = groups if filters % groups == 0 else 1
    settings = {
        "kernel_size": (int(rng.integers(1, 6)), int(rng.integers(1, 6))),
        "strides": strides,
        "dilation_rate": dilation,
        "padding": "same",
        "groups": groups,
        "use_bias": bool(rng.integers(2)),
        "activation": pick(rng, None, "relu"),
    } | settings
    return layers.Conv2D(filters, **settings)


def plain(rng):
    x = image = keras.Input((14, 12, 4))
    x = random_conv(rng, 4, 6)(x)
    x = random_conv(rng, 6, 6)(x)
    x = layers.ReLU()(x)
    x = random_conv(rng, 6, 4, padding="valid", kernel_size=(2, 1), dilation_rate=1)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3)(x))


def rectangular(rng):
    x = image = keras.Input((17, 13, 2))
    x = layers.Conv2D(4, (3, 5), strides=(3, 2), padding="valid", activation="relu")(x)
    x = layers.Conv2D(6, (4, 1), padding="same", groups=2, dilation_rate=(2, 1))(x)
    x = layers.Conv2D(4, (1, 2), strides=(1, 2), padding="same", activation="relu")(x)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(4)(x))


def depthwise(rng):
    x = image = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6")(x)
    multiplier, padding, strides = (
        int(rng.integers(1, 4)),
        pick(rng, "same", "valid"),
        int(rng.integers(1, 3)),
    )
    x = layers.DepthwiseConv2D(3, strides=strides, padding=padding, depth_multiplier=multiplier)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    x = layers.Conv2D(3, 1)(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def pools(rng):
    x = image = keras.Input((15, 14, 2))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.MaxPooling2D((3, 2), strides=(2, 2), padding=pick(rng, "same", "valid"))(x)
    x = layers.Conv2D(4, (2, 3), padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(3, strides=2, padding=pick(rng, "same", "valid"))(x)
    x = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Dense(6, activation="relu")(x)
    return keras.Model(image, layers.Dense(3)(x))


def residual(rng):
    image = keras.Input((12, 10, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    for _ in range(2):
        short = layers.Conv2D(6, 1, strides=2)(x)
        x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.Conv2D(6, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Add()([short, layers.BatchNormalization()(x)])
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3)(x))


def inception(rng):
    image = keras.Input((10, 10, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    a = layers.Conv2D(2, 1, activation="relu")(x)
    b = layers.Conv2D(3, 3, padding="same", activation="relu")(layers.Conv2D(2, 1)(x))
    c = layers.Conv2D(2, 5, padding="same")(x)
    d = layers.Conv2D(2, 1)(layers.MaxPooling2D(3, strides=1, padding="same")(x))
    x = layers.Concatenate()([a, b, c, d])
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(3)(x))


def dense_block(rng):
    image = keras.Input((9, 11, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    for _ in range(3):
        new = layers.BatchNormalization()(x)
        new = layers.Activation("relu")(new)
        new = layers.Conv2D(2, 3, padding="same", use_bias=False)(new)
        x = layers.Concatenate()([x, new])
    x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(3)(x))


def negative_scales(rng):
    """Senses through pools, padding, concatenation, flattening, and additions."""
    image = keras.Input((11, 12, 3))
    x = layers.Rescaling(pick(rng, -0.5, 2.0), 0.3)(image)
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(2)(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 1)(x))
    x = layers.BatchNormalization()(layers.ZeroPadding2D(1)(x))
    x = layers.Cropping2D(1)(x)
    x = layers.Add()([x, y])
    x = layers.BatchNormalization()(x)
    x = layers.Concatenate()([x, layers.BatchNormalization()(y)])
    x = layers.Flatten()(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(5)(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(image, layers.Dense(3)(layers.ReLU()(x)))


def padding_and_cropping(rng):
    image = keras.Input((10, 13, 3))
    x = layers.ZeroPadding2D(((0, 1), (2, 3)))(image)
    x = layers.Conv2D(4, 3, strides=2, padding="valid", activation="relu")(x)
    x = layers.Cropping2D(((1, 0), (0, 2)))(x)
    x = layers.ZeroPadding2D(2)(x)
    x = layers.Conv2D(3, 3, padding="valid")(x)
    x = layers.UpSampling2D((2, 1))(x)
    x = layers.Conv2D(3, 2, padding="same")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, layers.Dense(3)(x))


def operators(rng):
    image = keras.Input((8, 9, 3))
    x = layers.Conv2D(4, 3, padding="same")(image * -0.5 + 0.2)
    y = layers.Conv2D(4, 1)(image)
    z = ops.relu(x + y)
    w = ops.relu(x - y * 0.3)
    v = ops.concatenate([z * -1.0, w / np.array([1.0, -2.0, 3.0, -0.5], "float32"), -x], axis=-1)
    v = layers.Conv2D(3, 2, padding="same")(v)
    v = ops.expand_dims(v, 1)
    v = ops.reshape(v, (-1, 8, 9, 3))
    mean = ops.mean(v, axis=(1, 2))
    top = ops.max(v, axis=(1, 2), keepdims=True)
    both = ops.concatenate([mean, ops.reshape(top, (-1, 3))], axis=1)
    return keras.Model(image, layers.Dense(3)(both))


def shared_layer(rng):
    image = keras.Input((9, 9, 3))
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    x = shared(image)
    x = layers.BatchNormalization()(x)
    x = shared(x)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(3)(x))


def one_by_one(rng):
    """A classifier that is convolutional to its end."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(3, 1)(x)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Activation("softmax")(x))


FLAT = {
    build.__name__: build
    for build in (
        plain,
        rectangular,
        depthwise,
        pools,
        residual,
        inception,
        dense_block,
        negative_scales,
        padding_and_cropping,
        operators,
        shared_layer,
        one_by_one,
    )
}
