"""The NumPy unrolling gives what Keras gives."""

import keras
import numpy as np
import pytest
from twins import captioners, nets

from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.step import Step
from gazeback.cnn_trace.tracer import Tracer
from gazeback.lstm_trace import GRUCell, LSTMCell, unroll

pytestmark = pytest.mark.usefixtures("eager")


def unrolled(model, inputs):
    tracer = Tracer(model)
    call = tracer.graph.calls_of("recurrent")[0]
    recording = tracer.record(check_inputs(tracer.graph, inputs), set(call.inputs))
    return unroll(Step(call, recording, call.outputs[0]))


@pytest.mark.parametrize("gate", captioners.GATES)
@pytest.mark.parametrize("activation", [*captioners.ACTIVATIONS, "silu"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "gru_before"])
def test_outputs_equal_keras(kind, activation, gate):
    rng = np.random.default_rng(len(kind + activation + gate))
    settings = {"activation": activation, "recurrent_activation": gate, "go_backwards": bool(rng.integers(2))}
    settings |= {"reset_after": False} if kind == "gru_before" else {}
    model = captioners.captioner(kind[:4].rstrip("_"), logits=False, **settings)
    nets.randomise(model, rng)
    inputs = captioners.captioner_inputs(rng)
    found = unrolled(model, inputs)
    assert isinstance(found.cell, LSTMCell if kind == "lstm" else GRUCell)
    np.testing.assert_allclose(found.h[:, 1:], np.asarray(model(inputs)), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_skipped_steps_keep_the_state(kind, rng):
    model = nets.randomise(captioners.captioner(kind, mask_zero=True, logits=False), rng)
    inputs = captioners.captioner_inputs(rng, 3)
    found = unrolled(model, inputs)
    np.testing.assert_array_equal(found.mask[:, 0], True)
    np.testing.assert_array_equal(found.mask[:, 1:], inputs[1] != 0)
    np.testing.assert_allclose(found.h[:, 1:], np.asarray(model(inputs)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_initial_state_and_an_explicit_mask_from_the_left(kind, rng):
    image, embedded = captioners.image_embedding(3)
    start = [embedded, keras.layers.Dense(3)(embedded)] if kind == "lstm" else embedded
    steps, mask = keras.Input((4, 2)), keras.Input((4,), dtype="bool")
    layer = captioners.recurrent_layer(kind, 3, return_state=True, name="recurrent")
    model = keras.Model([image, steps, mask], layer(steps, initial_state=start, mask=mask))
    nets.randomise(model, rng)
    inputs = [
        rng.normal(size=(2, 6, 6, 3)),
        rng.normal(size=(2, 4, 2)),
        np.array([[0, 1, 0, 1], [0, 0, 0, 0]], bool),
    ]
    found = unrolled(model, inputs)
    _, state, *_ = model(inputs)
    np.testing.assert_allclose(found.h[:, -1], np.asarray(state), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.h[1, 0], found.h[1, -1])
