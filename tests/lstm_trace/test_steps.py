"""Recurrent layers around any cell are opened: contributions sum, and the opened model computes the same."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact, assert_recorded

from gazeback.cnn_trace import MissingRule, trace
from gazeback.cnn_trace.tracer import METHODS, Tracer

pytestmark = pytest.mark.usefixtures("eager")


@keras.saving.register_keras_serializable()
class Leaky(layers.Layer):
    """A cell of one's own, whose first state is no zero."""

    state_size = output_size = 3

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 3))
        self.gate = self.add_weight(name="gate", shape=(3,))

    def call(self, x, states):
        (h,) = states
        h = 0.5 * h + ops.sigmoid(self.gate) * ops.tanh(ops.matmul(x, self.kernel))
        return h, [h]

    def get_initial_state(self, batch_size):
        return [ops.full((batch_size, 3), 0.3)]


CELLS = {
    "simple": lambda: layers.SimpleRNNCell(3),
    "LSTM": lambda: layers.LSTMCell(3),
    "GRU": lambda: layers.GRUCell(3),
    "GRU, reset before": lambda: layers.GRUCell(3, reset_after=False),
    "stacked": lambda: layers.StackedRNNCells(
        [layers.LSTMCell(3), layers.GRUCell(4), layers.SimpleRNNCell(2)]
    ),
    "own": Leaky,
}
SETTINGS = {
    "last": {},
    "sequence": {"return_sequences": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "states": {"return_state": True},
}


def model_of(function, rng, masked=False):
    image = keras.Input((4, 6, 3))
    x = layers.Reshape((4, 18))(image)
    x = layers.Masking()(x) if masked else layers.Dense(5)(x)
    found = function(x)
    found = keras.tree.flatten(found)
    found = layers.Concatenate()(found) if len(found) > 1 else found[0]
    return nets.randomise(keras.Model(image, found), rng)


def assert_traced(model, rng, masked=False):
    images = nets.images(rng, 2, model)
    if masked:
        images[0, 1] = images[1, 2:] = 0
    assert_recorded(model, images)
    assert_exact(model, images, rng)
    for method in METHODS:
        trace(model, images, method=method)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_any_cell(cell, setting, rng):
    assert_traced(model_of(lambda x: layers.RNN(CELLS[cell](), **SETTINGS[setting])(x), rng), rng)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("cell", ["simple", "stacked"])
def test_masks(cell, zeros, rng):
    def function(x):
        return layers.RNN(CELLS[cell](), return_sequences=True, zero_output_for_mask=zeros)(x)

    assert_traced(model_of(function, rng, masked=True), rng, masked=True)


def test_simple_rnn_with_an_initial_state(rng):
    def function(x):
        return layers.SimpleRNN(5, return_sequences=True)(x, initial_state=x[:, 0] * 0.5)

    assert_traced(model_of(function, rng), rng)


def test_around_cells_both_ways_and_over_time(rng):
    both = layers.Bidirectional(layers.RNN(layers.GRUCell(3), return_sequences=True))
    assert_traced(model_of(both, rng), rng)
    assert_traced(model_of(layers.Bidirectional(layers.SimpleRNN(3)), rng), rng)

    def over_time(x):
        return layers.TimeDistributed(layers.SimpleRNN(2))(layers.Reshape((2, 2, 5))(x))

    assert_traced(model_of(over_time, rng), rng)


def test_cells_called_by_hand(rng):
    """As a decoder does that is called word by word."""
    cell, gru = layers.LSTMCell(3), layers.GRUCell(3)

    def function(x):
        h = c = ops.zeros_like(x[:, 0, :3])
        for t in range(4):
            _, (h, c) = cell(x[:, t], [h, c])
        return gru(h, [c])[0]

    assert_traced(model_of(function, rng), rng)


def test_convolutional_lstm(rng):
    def function(image):
        frames = layers.Reshape((3, 4, 5, 2))(layers.Conv2D(6, 3, padding="same")(image))
        x = layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(frames)
        return layers.GlobalAveragePooling2D()(layers.ConvLSTM2D(2, 2)(x))

    image = keras.Input((4, 5, 3))
    model = nets.randomise(keras.Model(image, function(image)), rng)
    assert_traced(model, rng)


def test_weights_that_change_are_seen(rng):
    """What was worked out from weights alone when the layer was opened is worked out anew."""
    model = model_of(lambda x: layers.RNN(layers.GRUCell(3))(x), rng)
    images = nets.images(rng, 1, model)
    trace(model, images, 0)
    for _ in range(2):
        nets.randomise(model, rng)
        found = trace(model, images, 0)[0]
        keras_clone = keras.models.clone_model(model)
        keras_clone.set_weights(model.get_weights())
        expected = trace(keras_clone, images, 0)[0]
        np.testing.assert_array_equal(found.points, expected.points)
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-4)


def test_any_number_of_steps_has_no_rule(rng):
    image = keras.Input((None, 6, 3))
    x = layers.TimeDistributed(layers.Flatten())(image)
    model = keras.Model(image, layers.SimpleRNN(3, name="free")(layers.Reshape((-1, 18))(x)))
    with pytest.raises(MissingRule, match="layer 'free' of class SimpleRNN"):
        trace(model, np.zeros((1, 4, 6, 3)), 0)


def test_a_stateful_cell_is_refused():
    image = keras.Input(batch_shape=(1, 4, 6, 3))
    x = layers.SimpleRNN(3, stateful=True, name="memory")(layers.Reshape((4, 18))(image))
    with pytest.raises(MissingRule, match=r"'memory' .*it is stateful: its past is not part"):
        trace(keras.Model(image, x), np.ones((1, 4, 6, 3)), 0)


def test_the_steps_are_calls(rng):
    model = model_of(lambda x: layers.RNN(layers.SimpleRNNCell(3), name="rnn")(x), rng)
    names = [call.name for call in Tracer(model).graph.calls]
    assert sum("matmul" in name for name in names if name.startswith("rnn/")) == 8
