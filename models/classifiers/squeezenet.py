"""SqueezeNet v1.1 (Iandola et al., arXiv 1602.07360; v1.1 in the authors' repository)."""

import keras
from keras import layers

from gazeback.models.classifiers.caffe_layers import max_pool

IMAGE_SIZE = 227
# Fire modules by number: (squeeze width, width of each of the two expansions).
FIRES = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}
POOLED_AFTER = (3, 5)


def _fire(x: keras.KerasTensor, number: int) -> keras.KerasTensor:
    """A fire module: a 1x1 convolution with few channels, then parallel 1x1 and 3x3 convolutions with
    more."""
    squeeze, expand = FIRES[number]
    name = f"fire{number}"
    x = layers.Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    ones = layers.Conv2D(expand, 1, activation="relu", name=f"{name}_expand1x1")(x)
    threes = layers.Conv2D(expand, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=f"{name}_concat")([ones, threes])


def build(classes: int = 1000, image_size: int = IMAGE_SIZE) -> keras.Model:
    """SqueezeNet v1.1 with random weights.

    Input: float32 ``[n, image_size, image_size, 3]``, BGR 0..255 minus the mean (104.007, 116.669, 122.677).
    Output: class probabilities ``[n, classes]``; the layer ``pool10`` holds the logits, none below 0.
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Conv2D(64, 3, 2, activation="relu", name="conv1")(image)
    x = max_pool(x, "pool1")
    for number in FIRES:
        x = _fire(x, number)
        if number in POOLED_AFTER:
            x = max_pool(x, f"pool{number}")
    x = layers.Dropout(0.5, name="drop9")(x)
    x = layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
    x = layers.GlobalAveragePooling2D(name="pool10")(x)
    return keras.Model(image, layers.Softmax(name="prob")(x), name="squeezenet")
