"""A small DenseNet-BC (Huang et al., CVPR 2017) for sketches: few weights, deep, global average pooling."""

from collections.abc import Sequence

import keras
from keras import layers

IMAGE_SIZE = 96
BLOCKS = (4, 6, 6)
MOMENTUM = 0.9  # of the batch statistics: few sketches make short epochs


def _normalised_convolution(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    """Batch normalisation, ReLU, convolution: the composite function of section 3."""
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)


def _dense_layer(x: keras.KerasTensor, growth: int, name: str) -> keras.KerasTensor:
    """A 1x1 bottleneck and a 3x3 convolution whose output joins its input."""
    new = _normalised_convolution(x, 4 * growth, 1, f"{name}_bottleneck")
    new = _normalised_convolution(new, growth, 3, f"{name}_conv")
    return layers.Concatenate(name=f"{name}_concat")([x, new])


def build(
    classes: int,
    image_size: int = IMAGE_SIZE,
    blocks: Sequence[int] = BLOCKS,
    growth: int = 16,
    dropout: float = 0.3,
) -> keras.Model:
    """The network with random weights; ``blocks`` are the numbers of layers in each dense block.

    Input: float32 ``[n, image_size, image_size, 1]``, strokes 1 on 0. Output: class probabilities
    ``[n, classes]``; the layer ``classes`` holds the logits.
    """
    image = keras.Input((image_size, image_size, 1), name="image")
    x = layers.Conv2D(2 * growth, 5, 2, padding="same", use_bias=False, name="stem_conv")(image)
    x = layers.BatchNormalization(momentum=MOMENTUM, name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for number, depth in enumerate(blocks, 1):
        for layer in range(1, depth + 1):
            x = _dense_layer(x, growth, f"block{number}_{layer}")
        if number < len(blocks):
            x = _normalised_convolution(x, x.shape[-1] // 2, 1, f"transition{number}")
            x = layers.AveragePooling2D(2, name=f"transition{number}_pool")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name="last_bn")(x)
    x = layers.ReLU(name="last_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="classes")(x)
    return keras.Model(image, layers.Softmax(name="prob")(x), name="sketch_densenet")
