"""Layers of networks trained in Caffe that Keras lacks: ceil-mode pooling, explicit padding, LRN."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("gazeback")
class LocalResponseNormalization(layers.Layer):
    """Local response normalisation across channels (Krizhevsky et al., NIPS 2012, section 3.3).

    ``y[c] = x[c] / (k + alpha / size * sum of x[c']^2 over the size channels around c) ** beta``, with alpha
    scaled as in Caffe, and zeros beyond the first and the last channel. Input and output:
    ``[..., channels]``.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, **options
    ) -> None:
        super().__init__(**options)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size: expected an odd number of channels, got {size}")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def denominator(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Compute the number that each value is divided by, in the shape of ``x``."""
        channels, reach = x.shape[-1], self.size // 2
        padding = [(0, 0)] * (len(x.shape) - 1) + [(reach, reach)]
        squares = ops.pad(ops.square(x), padding)
        energy = sum(squares[..., start : start + channels] for start in range(self.size))
        return ops.power(self.k + self.alpha / self.size * energy, self.beta)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x / self.denominator(x)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict:
        parameters = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return super().get_config() | parameters


def max_pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Caffe's 3x3 max pooling with stride 2. Windows start at 0 and may extend beyond the end (ceil mode).

    ``[n, side, side, c]`` to ``[n, ceil((side - 1) / 2), ..., c]``. In Keras, padding "same" gives this for
    an even side, and "valid" for an odd side.
    """
    padding = "valid" if x.shape[1] % 2 else "same"
    return layers.MaxPooling2D(3, 2, padding=padding, name=name)(x)


def layer_name(caffe_name: str) -> str:
    """Convert a Caffe layer's name to one that Keras allows: ``inception_3a/1x1`` becomes
    ``inception_3a_1x1``."""
    return caffe_name.replace("/", "_")
