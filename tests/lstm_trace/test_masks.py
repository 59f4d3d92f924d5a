"""Masks reach the calls that they reach when the model runs, so that the opened model computes the same."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact, assert_recorded

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.tracer import METHODS

pytestmark = pytest.mark.usefixtures("eager")

SIZE, STEPS = 4, 5
WORDS = np.array([[3, 1, 2, 0, 0], [1, 2, 0, 4, 5]])


def masked_steps(mask_zero=True):
    """Image and word inputs, and steps [n, 5, 4] that carry the mask of the words."""
    image, ids = keras.Input((4, 6, 3)), keras.Input((STEPS,), dtype="int32")
    words = layers.Embedding(7, SIZE, mask_zero=mask_zero)(ids)
    pooled = layers.Dense(SIZE)(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 2)(image)))
    # The words' mask first: an Add loses the mask where one of its inputs has none.
    steps = layers.Lambda(lambda xs: xs[0] + xs[1][:, None], mask=lambda xs, mask: mask[0])([words, pooled])
    return image, ids, words, steps, pooled


class Attending(layers.Layer):
    """Its attention reads the mask that its input carries; it has no argument for one."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.supports_masking = True
        self.attention = layers.MultiHeadAttention(2, 3, name="attention")
        self.add, self.norm = layers.Add(), layers.LayerNormalization()

    def build(self, shape):
        self.attention.build(shape, shape)
        self.norm.build(shape)

    def call(self, x):
        return self.norm(self.add([x, self.attention(x, x, use_causal_mask=True)]))


class Given(layers.Layer):
    """It is given the mask as an argument."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.supports_masking = True
        self.rnn = layers.GRU(3, return_sequences=True)

    def build(self, shape):
        self.rnn.build(shape)

    def call(self, x, mask=None):
        return self.rnn(x * 2.0, mask=mask)


def nested(*inner):
    return keras.Sequential([keras.Input((STEPS, SIZE)), *inner])


LAYERS = {
    "LSTM": lambda x, _: layers.LSTM(3)(x),
    "GRU with a state": lambda x, pooled: layers.GRU(SIZE)(x, initial_state=pooled),
    "BiLSTM": lambda x, _: layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x),
    "BiGRU, last": lambda x, _: layers.Bidirectional(layers.GRU(3), merge_mode="sum")(x),
    "BiLSTM, states": lambda x, _: layers.Concatenate()(
        layers.Bidirectional(layers.LSTM(3, return_state=True))(x)
    ),
    "BiLSTM, not merged": lambda x, _: layers.Concatenate()(
        layers.Bidirectional(layers.LSTM(3), merge_mode=None)(x)
    ),
    "BiGRU with states": lambda x, pooled: layers.Bidirectional(layers.GRU(SIZE))(
        x, initial_state=[pooled, layers.Dense(SIZE)(pooled)]
    ),
    "two LSTMs": lambda x, _: layers.LSTM(3)(layers.Dropout(0.2)(layers.LSTM(4, return_sequences=True)(x))),
    "mean": lambda x, _: layers.GlobalAveragePooling1D()(x),
    "attention": lambda x, _: layers.MultiHeadAttention(2, 3)(x, x),
    "attention, then a mean": lambda x, _: layers.GlobalAveragePooling1D()(
        layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)])
    ),
    "dot attention": lambda x, _: layers.Attention()([x, x]),
    "additive attention": lambda x, _: layers.AdditiveAttention()([x, x]),
    "own attention": lambda x, _: Attending()(x),
    "own attention twice": lambda x, _: Attending()(Attending()(x)),
    "own attention, then an LSTM": lambda x, _: layers.LSTM(3)(Attending()(x)),
    "own layer with a mask": lambda x, _: layers.LSTM(3)(Given()(x)),
    "a nested LSTM": lambda x, _: nested(layers.LSTM(3))(x),
    "a nested dense layer, then an LSTM": lambda x, _: layers.LSTM(3)(nested(layers.Dense(3))(x)),
    "image first": lambda x, pooled: layers.LSTM(3)(
        layers.Concatenate(axis=1)([layers.Reshape((1, SIZE))(pooled), x])
    ),
    "softmax of steps": lambda x, _: ops.sum(
        layers.Softmax(axis=1)(layers.Dense(1)(ops.tanh(x))) * x, axis=1
    ),
}


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("name", LAYERS)
def test_masks(name, rng):
    image, ids, _, steps, pooled = masked_steps()
    model = nets.randomise(keras.Model([image, ids], LAYERS[name](steps, pooled)), rng)
    given = [rng.normal(size=(2, 4, 6, 3)).astype("float32"), WORDS]
    assert_recorded(model, given)
    assert_exact(model, given, rng)
    for method in METHODS:  # the published walks may end at the words
        assert len(trace(model, given, method=method)[0]) or method != "evidence"


def test_masks_matter(rng):
    """Else the tests above would show nothing."""
    found = []
    for mask_zero in (True, False):
        keras.utils.set_random_seed(0)
        image, ids, _, steps, pooled = masked_steps(mask_zero)
        model = keras.Model([image, ids], LAYERS["own attention, then an LSTM"](steps, pooled))
        found.append(np.asarray(model([np.ones((2, 4, 6, 3)), WORDS])))
    assert not np.allclose(*found)


def test_a_mean_over_no_step_is_no_error(rng):
    image, ids, _, steps, _ = masked_steps()
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(steps), layers.LSTM(3)(steps)])
    model = nets.randomise(keras.Model([image, ids], x), rng)
    given = [rng.normal(size=(1, 4, 6, 3)).astype("float32"), np.array([[1, 0, 0, 0, 0]])]
    assert_exact(model, given, rng)
