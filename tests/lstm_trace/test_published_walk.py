"""The published walk through a recurrent layer against a literal twin: gate by gate, unit by unit."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import captioners, nets

from gazeback.cnn_trace import trace

pytestmark = pytest.mark.usefixtures("eager")


def walk_back(x, h, mask, kernel, recurrent, start):
    """*CNN Fixations*, section IV-D, for one sequence.

    Args:
        x: ``[T, X]``; h: ``[T + 1, U]``, ``h[t]`` being m_(t-1); mask: ``[T]``.
        kernel: ``[X, gates * U]``; recurrent: ``[U, gates * U]``.
        start: ``{step: units}``, the units of m_t that support the word.

    Returns:
        For each step the inputs reached, and the units of the initial state reached.
    """
    units = recurrent.shape[0]
    gates = recurrent.shape[1] // units
    inputs, kept = {}, set()
    for t in reversed(range(len(x))):
        kept |= start.get(t, set())
        if not mask[t]:
            continue
        below = set()
        for gate in range(gates):
            for unit in kept:
                for j in range(units):
                    if h[t][j] * recurrent[j, gate * units + unit] > 0:
                        below.add(j)
                for j in range(x.shape[1]):
                    if x[t][j] * kernel[j, gate * units + unit] > 0:
                        inputs.setdefault(t, set()).add(j)
        kept = below
    return inputs, kept


def supporters(h, dense, word):
    weights = np.asarray(dense.kernel)[:, word]
    return {j for j in range(len(h)) if h[j] * weights[j] > 0}


@pytest.mark.parametrize("mask_zero", [False, pytest.param(True, marks=captioners.masked)])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_image_as_first_step(kind, mask_zero, rng):
    model = nets.randomise(captioners.captioner(kind, mask_zero=mask_zero), rng)
    inputs = captioners.captioner_inputs(rng, 3)
    layer, dense = model.get_layer("recurrent"), model.get_layer("logits")
    steps = keras.tree.flatten(layer.input)[0]  # a mask may follow
    xs, hs = (np.asarray(v) for v in keras.Model(model.input, [steps, layer.output])(inputs))
    targets = [(t, word) for t in range(5) for word in (1, 4)]
    traced = trace(model, inputs, targets, method="fixations")
    reached = 0
    for i in range(3):
        h = np.concatenate([np.zeros((1, 5)), hs[i]])
        mask = np.r_[True, inputs[1][i] != 0] if mask_zero else np.ones(5, bool)
        for (t, word), fixations in zip(targets, traced[i], strict=True):
            start = {t: supporters(h[t + 1], dense, word)}
            expected, _ = walk_back(xs[i], h, mask, *map(np.asarray, layer.cell.weights[:2]), start)
            found = set(fixations.at("image_embedding").coordinates[:, 0].tolist())
            assert found == expected.get(0, set()), (i, t, word)
            reached += len(found)
    assert reached > 50


@pytest.mark.parametrize("backwards", [False, True])
def test_image_at_every_step_and_in_the_initial_state(backwards, rng):
    image, embedded = captioners.image_embedding(5)
    steps = layers.RepeatVector(3, name="repeated")(embedded)
    start = [layers.Dense(5, name="first_state")(embedded), layers.Dense(5)(embedded)]
    layer = layers.LSTM(5, go_backwards=backwards, name="recurrent")
    model = nets.randomise(keras.Model(image, layers.Dense(4)(layer(steps, initial_state=start))), rng)
    inputs = rng.normal(size=(1, 6, 6, 3)).astype("float32")
    x, h0, c0 = (np.asarray(v) for v in keras.Model(image, [steps, *start])(inputs))
    states, h, c = [h0[0]], h0, c0
    for t in range(3):
        _, (h, c) = layer.cell(x[:, t], [h, c])
        states.append(np.asarray(h)[0])
    begin = {2: supporters(states[-1], model.layers[-1], 2)}
    weights = map(np.asarray, layer.cell.weights[:2])
    entered, first = walk_back(x[0], states, [True] * 3, *weights, begin)
    fixations = trace(model, inputs, 2, method="fixations")[0]
    assert set(fixations.at("first_state").coordinates[:, 0].tolist()) == first
    found = {}
    for step, unit in fixations.at("repeated").coordinates.tolist():
        # Every step holds the same image: run backwards, the first step processed is the last one.
        found.setdefault(2 - step if backwards else step, set()).add(unit)
    assert found == entered


def test_words_of_one_caption_get_nearly_the_same_units(rng):
    """Known and reported: the published walk through the gates hardly depends on the word."""
    model = nets.randomise(captioners.captioner("lstm", units=24), rng)
    inputs = captioners.captioner_inputs(rng, 1)
    found = trace(model, inputs, [(4, word) for word in range(7)], method="fixations")[0]
    sets = [frozenset(f.at("image_embedding").coordinates[:, 0].tolist()) for f in found]
    assert len(set(sets)) == 1
