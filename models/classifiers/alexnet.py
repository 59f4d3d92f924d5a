"""AlexNet (Krizhevsky, Sutskever, Hinton, NIPS 2012), as BVLC trained it in Caffe."""

import keras
from keras import layers

from gazeback.models.classifiers.caffe_layers import LocalResponseNormalization, max_pool

IMAGE_SIZE = 227
# What the first dense layer reads, flattened: (rows, columns, channels).
LAST_MAP_SHAPE = (6, 6, 256)


def build(classes: int = 1000, image_size: int = IMAGE_SIZE) -> keras.Model:
    """AlexNet with random weights: normalisation before pooling, two groups in conv2, conv4 and conv5.

    Input: float32 ``[n, image_size, image_size, 3]``, BGR 0..255 minus the mean (104.007, 116.669, 122.677);
    ``image_size`` 227 (Caffe) or 224 (the published ONNX file). Output: class probabilities
    ``[n, classes]``; the layer ``fc8`` holds the logits.
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Conv2D(96, 11, 4, activation="relu", name="conv1")(image)
    x = max_pool(LocalResponseNormalization(name="norm1")(x), "pool1")
    x = _convolution(x, 256, 5, "conv2", groups=2)
    x = max_pool(LocalResponseNormalization(name="norm2")(x), "pool2")
    x = _convolution(x, 384, 3, "conv3", groups=1)
    x = _convolution(x, 384, 3, "conv4", groups=2)
    x = max_pool(_convolution(x, 256, 3, "conv5", groups=2), "pool5")
    x = layers.Flatten(name="flatten")(x)
    for name in ("6", "7"):
        x = layers.Dense(4096, activation="relu", name=f"fc{name}")(x)
        x = layers.Dropout(0.5, name=f"drop{name}")(x)
    x = layers.Dense(classes, name="fc8")(x)
    return keras.Model(image, layers.Softmax(name="prob")(x), name="alexnet")


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, name: str, groups: int
) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, padding="same", groups=groups, activation="relu", name=name)(x)
