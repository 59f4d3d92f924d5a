"""Sketch-a-Net (Yu et al., *Sketch-a-Net that Beats Humans*, BMVC 2015), at any input size.

The paper's network reads 225x225 pixels through a 15x15 kernel with stride 3. ``build`` scales that first
kernel, its stride and the widths, so that it also trains in minutes on two processor cores.
"""

import keras
from keras import layers

PAPER_SIZE, PAPER_KERNEL, PAPER_STRIDE = 225, 15, 3
MOMENTUM = 0.9  # of the batch statistics: few sketches make short epochs


def build(
    classes: int,
    image_size: int = PAPER_SIZE,
    width: float = 1.0,
    first_kernel: int = PAPER_KERNEL,
    first_stride: int = PAPER_STRIDE,
    normalised: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Sketch-a-Net with random weights; the defaults are Table 1 of the paper (one channel of strokes).

    Input: float32 ``[n, image_size, image_size, 1]``, strokes 1 on 0. Output: class probabilities
    ``[n, classes]``. ``normalised`` adds a batch normalisation after every hidden layer, which the paper does
    not have. With it the network learns from few sketches without pretraining.
    """
    image = keras.Input((image_size, image_size, 1), name="image")
    x = image
    convolutions = (
        ("conv1", 64, first_kernel, first_stride, "valid"),
        ("conv2", 128, 5, 1, "valid"),
        ("conv3", 256, 3, 1, "same"),
        ("conv4", 256, 3, 1, "same"),
        ("conv5", 256, 3, 1, "same"),
    )
    for name, filters, kernel, stride, padding in convolutions:
        convolution = layers.Conv2D(
            round(filters * width), kernel, stride, padding=padding, use_bias=not normalised, name=name
        )
        x = convolution(x)
        if normalised:
            x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
        if name in ("conv1", "conv2", "conv5"):
            x = layers.MaxPooling2D(3, 2, name=f"pool{name[-1]}")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dense(round(512 * width), use_bias=not normalised, name=name)(x)
        if normalised:
            x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = layers.Dense(classes, name="fc8")(x)
    return keras.Model(image, layers.Softmax(name="prob")(x), name="sketch_a_net")
