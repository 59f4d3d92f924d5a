"""Contributions of all steps, of the initial states and of the biases sum to what the layer gave."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers
from twins import captioners, nets
from twins.exact import assert_exact, total

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.tracer import Options, Tracer

pytestmark = pytest.mark.usefixtures("eager")

few = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
kinds = st.sampled_from(["lstm", "gru"])
cells = st.fixed_dictionaries(
    {
        "activation": st.sampled_from(captioners.ACTIVATIONS),
        "recurrent_activation": st.sampled_from(captioners.GATES),
        "use_bias": st.booleans(),
        "go_backwards": st.booleans(),
        "reset_after": st.booleans(),
    }
)
seeds = st.integers(0, 10**6)


@few
@given(kinds, cells, st.sampled_from(captioners.MASKS), st.integers(1, 5), seeds)
def test_image_as_first_step(kind, cell, mask_zero, words, seed):
    rng = np.random.default_rng(seed)
    model = captioners.captioner(kind, words, mask_zero=mask_zero, logits=False, **cell)
    nets.randomise(model, rng)
    assert_exact(model, captioners.captioner_inputs(rng, 2, words), rng, questions=4)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@few
@given(
    kinds,
    cells,
    st.sampled_from(["none", "masking", "explicit"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_image_as_initial_state(kind, cell, mask, sequences, states, zeros, seed):
    rng = np.random.default_rng(seed)
    image, embedded = captioners.image_embedding(3)
    start = [embedded, layers.Dense(3)(embedded)] if kind == "lstm" else embedded
    steps, given_mask = keras.Input((4, 2)), keras.Input((4,), dtype="bool")
    x = layers.Masking()(steps) if mask == "masking" else steps
    layer = captioners.recurrent_layer(
        kind, 3, return_sequences=sequences, return_state=states, zero_output_for_mask=zeros, **cell
    )
    found = layer(x, initial_state=start, mask=given_mask if mask == "explicit" else None)
    found = [layers.Reshape((-1,))(y) for y in found] if states else [layers.Reshape((-1,))(found)]
    output = layers.Concatenate()(found) if len(found) > 1 else found[0]
    inputs = [image, steps] + [given_mask] * (mask == "explicit")
    model = nets.randomise(keras.Model(inputs, output), rng)
    values = rng.normal(size=(2, 4, 2)).astype("float32")
    present = rng.random((2, 4)) < 0.6
    values[~present] = 0
    arrays = [rng.normal(size=(2, 6, 6, 3)), values, present][: len(inputs)]
    assert_exact(model, arrays, rng, questions=3)


@captioners.masked
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_contributions_of_a_word_sum_to_its_logit(kind, rng):
    model = nets.randomise(captioners.captioner(kind, mask_zero=True), rng)
    inputs = captioners.captioner_inputs(rng)
    tracer = Tracer(model)
    neurons = np.array([[[t, w] for t in range(5) for w in (2, 5)]] * 2)
    asked = tracer.explain(check_inputs(tracer.graph, inputs), tracer.target(), lambda _: neurons, Options())
    owner = np.repeat([0, 1], 10)
    expected = np.asarray(model(inputs))[owner, neurons[..., 0].ravel(), neurons[..., 1].ravel()]
    np.testing.assert_allclose(
        total(asked.decomposition, asked.recording, owner), expected, rtol=1e-4, atol=1e-5
    )


def test_two_recurrent_layers_and_attention_to_the_last_step(rng):
    model = captioners.captioner("gru", logits=False)
    x = layers.LSTM(4)(model.output)
    model = nets.randomise(keras.Model(model.input, layers.Dense(3)(x)), rng)
    assert_exact(model, captioners.captioner_inputs(rng), rng)


def test_image_added_to_the_output_of_the_recurrent_layer(rng):
    """Merge models: the image enters once at every step and once at the end."""
    image, embedded = captioners.image_embedding(5)
    ids = keras.Input((4,), dtype="int32")
    text = layers.Embedding(7, 5)(ids) + layers.RepeatVector(4)(embedded)
    merged = layers.Add()([layers.LSTM(5)(text), embedded])
    model = nets.randomise(keras.Model([image, ids], layers.Dense(7)(merged)), rng)
    assert_exact(model, captioners.captioner_inputs(rng), rng)


def test_a_gate_at_exactly_zero_hands_nothing_on(rng):
    model = captioners.captioner("lstm", logits=False)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape, np.float32))
    result = assert_exact(model, captioners.captioner_inputs(rng), rng)
    assert all(np.isfinite(k).all() for k in result.maps.values())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_stateful_layer_is_refused(kind):
    image = keras.Input(batch_shape=(1, 6, 6, 3))
    x = layers.Reshape((6, 18))(layers.ReLU()(image))
    layer = captioners.recurrent_layer(kind, 3, stateful=True, name="memory")
    with pytest.raises(TraceError, match="layer 'memory' is stateful"):
        trace(keras.Model(image, layer(x)), np.ones((1, 6, 6, 3)), 0)
