"""Layers that gate, normalise and merge: the head stays exact, and the walk follows the trunk."""

import keras
import numpy as np
import pytest
from keras import layers

from gazeback.cnn_trace import Tracer, trace
from gazeback.cnn_trace.tracer import Options

QUESTIONS = np.array([[[2], [4]]] * 3)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Squeeze-and-excitation and a separable convolution; a head of gates, products, extremes and norms."""
    image = keras.Input((12, 12, 3))
    x = layers.LayerNormalization()(layers.Conv2D(8, 3, padding="same")(image))
    x = layers.SeparableConv2D(
        8, 3, strides=2, padding="same", depth_multiplier=2, activation="relu", name="separable"
    )(x)
    gate = layers.Conv2D(4, 1, activation="swish")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply(name="gated")([x, layers.Conv2D(8, 1, activation="sigmoid")(gate)])
    y = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.Maximum(name="largest")([layers.Average()([x, y]), y])
    pooled = layers.GlobalAveragePooling2D()(x)
    relu, sigmoid = (layers.Dense(7, activation=a)(pooled) for a in ("relu", "sigmoid"))
    gated, product = layers.Multiply()([relu, sigmoid]), layers.Multiply()([relu, pooled[:, :7]])
    head = keras.ops.maximum(layers.LayerNormalization()(layers.Minimum()([gated, product])), 0.1)
    model = keras.Model(image, layers.Dense(5)(head))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.7, weight.shape))
    return model


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 12, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("handoff", [None, "separable"])
def test_the_contributions_sum_to_the_logit(
    model: keras.Model, photos: np.ndarray, handoff: str | None
) -> None:
    tracer = Tracer(model)
    found = tracer.explain([photos], tracer.target(), lambda _: QUESTIONS, Options(handoff=handoff))
    assert found.decomposition is not None
    image, total = np.repeat(np.arange(3), 2), found.decomposition.bias.copy()
    for tensor, coefficients in {**found.decomposition.maps, **found.decomposition.others}.items():
        total += (coefficients * found.recording[tensor][image]).reshape(6, -1).sum(axis=1)
    np.testing.assert_allclose(total, np.asarray(model(photos))[:, [2, 4]].ravel(), rtol=1e-4, atol=1e-5)


def test_a_gate_is_not_followed(model: keras.Model, photos: np.ndarray) -> None:
    found = trace(model, photos, target=2, method="fixations")[0]
    np.testing.assert_array_equal(found.at("gated").coordinates, found.at("separable").coordinates)


@pytest.mark.parametrize("location", ["same", "argmax"])
def test_a_separable_convolution_equals_its_two_halves(photos: np.ndarray, location: str) -> None:
    whole, halves = _separable_and_its_halves()
    for target in range(4):
        a, b = (
            trace(m, photos, target=(2, 3, target), method="fixations", location=location)[1]
            for m in (whole, halves)
        )
        np.testing.assert_array_equal(a.points, b.points)


def _separable_and_its_halves() -> tuple[keras.Model, keras.Model]:
    image = keras.Input((12, 12, 3))
    separable = layers.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=2)
    whole = keras.Model(image, separable(image))
    depthwise = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False)
    pointwise = layers.Conv2D(4, 1)
    halves = keras.Model(image, pointwise(depthwise(image)))
    rng = np.random.default_rng(2)
    kernels = [rng.normal(size=w.shape) for w in separable.weights]
    separable.set_weights(kernels)
    depthwise.set_weights(kernels[:1])
    pointwise.set_weights(kernels[1:])
    return whole, halves
