"""Layers that rearrange with einops are opened, as those of TensorFlow's captioning tutorial."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.exact import assert_exact, assert_recorded
from twins.exact_words import sums_and_logits

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.tracer import METHODS
from gazeback.models import wrap_captioner

einops = pytest.importorskip("einops", reason="einops is not installed")


class Places(layers.Layer):
    """A map as places, a dense layer on each, and their mean if asked for."""

    def __init__(self, pooled, **keywords):
        super().__init__(**keywords)
        self.pooled, self.dense = pooled, layers.Dense(5)

    def build(self, shape):
        self.dense.build((None, None, shape[-1]))

    def call(self, x):
        x = self.dense(einops.rearrange(x, "b h w c -> b (h w) c"))
        return einops.reduce(x, "b p c -> b c", "mean") if self.pooled else x


def test_a_classifier_is_exact(rng):
    image = keras.Input((8, 8, 3))
    x = Places(pooled=True)(layers.Conv2D(4, 2, 2)(image))
    model = nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)
    images = nets.images(rng, 2, model)
    assert_recorded(model, images)
    assert_exact(model, images, rng)
    for method in METHODS:
        assert trace(model, images, 1, method=method)


def test_a_captioner_is_exact(rng):
    image, words = keras.Input((8, 8, 3)), keras.Input((None,), dtype="int32")
    places = Places(pooled=False)(layers.Conv2D(4, 2, 2, name="last")(image))
    x = layers.LSTM(5, return_sequences=True)(layers.Embedding(6, 5)(words))
    x = layers.Add()([x, layers.MultiHeadAttention(1, 5)(x, places)])
    model = nets.randomise(keras.Model([image, words], layers.Dense(6)(x)), rng)
    mine = wrap_captioner(model, tokenizer=["", "start", "end", "a", "red", "dog"], start="start", end="end")
    pixels = rng.uniform(0, 1, (8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(*sums_and_logits(mine, pixels, [3, 4, 5]), rtol=1e-4, atol=1e-4)
    assert mine.features_layer == "last"
