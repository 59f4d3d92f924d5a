"""GoogLeNet (Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015), as BVLC trained it in Caffe."""

from dataclasses import dataclass

import keras
from keras import layers

from gazeback.models.classifiers.caffe_layers import LocalResponseNormalization, layer_name, max_pool

IMAGE_SIZE = 224


@dataclass(frozen=True)
class Inception:
    """The widths of one inception module: a row of the paper's Table 1."""

    name: str
    ones: int
    threes_reduce: int
    threes: int
    fives_reduce: int
    fives: int
    pool_projection: int


# None is a 3x3 max pooling with stride 2.
STAGES = (
    Inception("3a", 64, 96, 128, 16, 32, 32),
    Inception("3b", 128, 128, 192, 32, 96, 64),
    None,
    Inception("4a", 192, 96, 208, 16, 48, 64),
    Inception("4b", 160, 112, 224, 24, 64, 64),
    Inception("4c", 128, 128, 256, 24, 64, 64),
    Inception("4d", 112, 144, 288, 32, 64, 64),
    Inception("4e", 256, 160, 320, 32, 128, 128),
    None,
    Inception("5a", 256, 160, 320, 32, 128, 128),
    Inception("5b", 384, 192, 384, 48, 128, 128),
)


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, padding="same", activation="relu", name=layer_name(name))(x)


def _inception(x: keras.KerasTensor, module: Inception) -> keras.KerasTensor:
    """Four parallel branches of the same size: 1x1, 3x3, 5x5, and a pooled 1x1."""
    name = f"inception_{module.name}"
    ones = _convolution(x, module.ones, 1, f"{name}/1x1")
    threes = _convolution(x, module.threes_reduce, 1, f"{name}/3x3_reduce")
    threes = _convolution(threes, module.threes, 3, f"{name}/3x3")
    fives = _convolution(x, module.fives_reduce, 1, f"{name}/5x5_reduce")
    fives = _convolution(fives, module.fives, 5, f"{name}/5x5")
    pooled = layers.MaxPooling2D(3, 1, padding="same", name=layer_name(f"{name}/pool"))(x)
    pooled = _convolution(pooled, module.pool_projection, 1, f"{name}/pool_proj")
    return layers.Concatenate(name=layer_name(f"{name}/output"))([ones, threes, fives, pooled])


def build(classes: int = 1000, image_size: int = IMAGE_SIZE) -> keras.Model:
    """GoogLeNet with random weights, without the auxiliary heads.

    Input: float32 ``[n, image_size, image_size, 3]``, BGR 0..255 minus the mean (104.007, 116.669, 122.677).
    Output: class probabilities ``[n, classes]``; the layer ``loss3_classifier`` holds the logits.
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.ZeroPadding2D(3, name="conv1_padding")(image)
    x = layers.Conv2D(64, 7, 2, activation="relu", name="conv1_7x7_s2")(x)
    x = LocalResponseNormalization(name="pool1_norm1")(max_pool(x, "pool1_3x3_s2"))
    x = _convolution(x, 64, 1, "conv2/3x3_reduce")
    x = _convolution(x, 192, 3, "conv2/3x3")
    x = max_pool(LocalResponseNormalization(name="conv2_norm2")(x), "pool2_3x3_s2")
    pools = iter(("pool3_3x3_s2", "pool4_3x3_s2"))
    for module in STAGES:
        x = max_pool(x, next(pools)) if module is None else _inception(x, module)
    x = layers.GlobalAveragePooling2D(name="pool5_7x7_s1")(x)
    x = layers.Dropout(0.4, name="pool5_drop_7x7_s1")(x)
    x = layers.Dense(classes, name="loss3_classifier")(x)
    return keras.Model(image, layers.Softmax(name="prob")(x), name="googlenet")
