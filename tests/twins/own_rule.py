"""A layer and its rule, as the recipe in docs/architecture.md has it."""

import keras
import numpy as np
from keras import ops

from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.linear import Linear
from gazeback.cnn_trace.rules.window import Window


class SharedKernel(keras.layers.Layer):
    """A convolution of each channel with the same kernel."""

    kernel_size, strides, padding = (3, 3), (2, 2), "same"

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, 1, 1))

    def call(self, x):
        kernel = ops.tile(self.kernel, (1, 1, x.shape[-1], 1))
        return ops.depthwise_conv(x, kernel, self.strides, self.padding)


def shared_kernel(step):
    layer, (*places, channels) = step.layer, step.shape(step.input)[1:]
    kernel = np.broadcast_to(as_array(layer.kernel), (*layer.kernel_size, channels, 1))
    window, size = Window.of(layer, tuple(places)), step.shape(step.output)[1:-1]
    return (Linear(layer, kernel, window, size, 1, channels, channels),)
