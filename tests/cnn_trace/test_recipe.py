"""The recipe for a layer rule: a description of a linear layer, from which everything else follows."""

import inspect
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.own_rule import SharedKernel, shared_kernel

from gazeback.cnn_trace import METHODS, trace
from gazeback.cnn_trace.methods.options import Options
from gazeback.cnn_trace.receptive_field import receptive_field
from gazeback.cnn_trace.rules import convolution, table
from gazeback.eval.baselines.excitation import excitation_backprop


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(table, "LAYERS", dict(table.LAYERS))
    monkeypatch.setattr(table, "_rules_of_classes", {})
    table.register_rule(SharedKernel, convolution.rule(shared_kernel))


@pytest.fixture
def models(registered, rng):
    """The same network with the layer, and with a depthwise convolution that has its weights."""
    image = keras.Input((9, 8, 3))
    made = []
    for layer in (SharedKernel(name="own"), layers.DepthwiseConv2D(3, 2, "same", use_bias=False, name="own")):
        x = layers.Conv2D(4, 2, activation="relu", name="first")(image)
        x = layers.Conv2D(3, 1, activation="relu", name="last")(layer(x))
        made.append(keras.Model(image, layers.Dense(3, name="answer")(layers.GlobalAveragePooling2D()(x))))
    own, known = made
    nets.randomise(own, rng)
    for name in ("first", "last", "answer"):
        known.get_layer(name).set_weights(own.get_layer(name).get_weights())
    known.get_layer("own").set_weights([np.tile(own.get_layer("own").get_weights()[0], (1, 1, 4, 1))])
    return own, known, nets.images(rng, 2, own)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("handoff", [None, "first"])
def test_every_method_traces_the_layer(method, handoff, models):
    """In the trunk, and for the methods that have a head also there."""
    if handoff and not Options(method=method).has_head:
        pytest.skip("this method has no head")
    own, known, images = models
    options = {"handoff": handoff} if handoff else {}
    found, expected = (trace(model, images, 1, method=method, **options) for model in (own, known))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-5)


def test_its_receptive_field_and_its_winning_probabilities(models):
    own, known, images = models
    assert repr(receptive_field(own, "last")) == repr(receptive_field(known, "last"))
    found, expected = (excitation_backprop(model, np.abs(images), 1, at="input") for model in (own, known))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_rule_of_the_page_has_less_than_20_lines():
    rule = inspect.getsource(shared_kernel)
    assert rule in (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert len(rule.splitlines()) + 1 < 20
