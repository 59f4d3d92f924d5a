"""Guided backpropagation and deconvnet: every rectifier is replaced, strides leave no grid."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.projections import deconvnet, grid_artefacts, guided_backprop, is_rectifier
from gazeback.eval.baselines.saliency import saliency
from gazeback.models.errors import UserError


def fused(activation):
    return lambda x, name: layers.Conv2D(4, 1, activation=activation, name=name)(x)


def apart(rectifier):
    return lambda x, name: rectifier(layers.Conv2D(4, 1, name=name)(x))


KINDS = {
    "fused": fused("relu"),
    "fused relu6": fused("relu6"),
    "fused layer": fused(layers.ReLU()),
    "activation": apart(layers.Activation("relu")),
    "activation relu6": apart(layers.Activation("relu6")),
    "layer": apart(layers.ReLU()),
    "layer relu6": apart(layers.ReLU(max_value=6)),
    "operator": apart(ops.relu),
    "operator relu6": apart(ops.relu6),
}


def dense_net(rectified):
    """Two hidden vectors behind 1 x 1 convolutions, so that a literal twin is three matrix products."""
    x = image = keras.Input((2, 2, 4))
    for index in range(2):
        x = rectified(x, f"conv{index}")
    return keras.Model(image, layers.Dense(3, name="answer")(layers.Flatten()(x)))


def literal(model, image, target, how, limit):
    """Zeiler and Fergus 2014, section 2.1, and Springenberg et al. 2015, section 4, layer by layer."""
    kernels = [np.asarray(model.get_layer(f"conv{i}").kernel, np.float64)[0, 0] for i in range(2)]
    biases = [np.asarray(model.get_layer(f"conv{i}").bias, np.float64) for i in range(2)]
    before, x = [], image.reshape(4, 4).astype(np.float64)
    for kernel, bias in zip(kernels, biases, strict=True):
        before.append(x @ kernel + bias)
        x = np.clip(before[-1], 0, limit)
    signal = np.asarray(model.get_layer("answer").kernel, np.float64)[:, target].reshape(4, 4)
    for kernel, z in zip(kernels[::-1], before[::-1], strict=True):
        for place in np.ndindex(signal.shape):
            is_open = 0 < z[place] < limit
            if signal[place] <= 0 or (how == "guided" and not is_open):
                signal[place] = 0
        signal = signal @ kernel.T
    return signal.reshape(2, 2, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_rectifier_is_replaced(kind, rng):
    model = dense_net(KINDS[kind])
    for weight in model.weights:
        weight.assign(2 * rng.normal(size=weight.shape))
    images = 2 * nets.images(rng, 3, model)
    limit = 6 if "6" in kind else np.inf
    assert sum(map(is_rectifier, tracer_of(model).graph.calls)) == 2
    for method, how in ((guided_backprop, "guided"), (deconvnet, "deconvnet")):
        expected = np.stack([literal(model, image, 1, how, limit) for image in images])
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(method(model, images, 1, raw=True), expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            method(model, images, 1), np.abs(expected).max(axis=-1), rtol=1e-3, atol=1e-4
        )


def test_nested_models_equal_flat_ones_and_differ_from_the_gradient(rng):
    def trunk(x):
        x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="a")(x)
        return layers.ReLU(6.0)(layers.Conv2D(4, 3, padding="same", name="b")(x))

    image, inner = keras.Input((10, 10, 3)), keras.Input((10, 10, 3))
    head = layers.Dense(3, name="head")
    flat = nets.randomise(keras.Model(image, head(layers.GlobalAveragePooling2D()(trunk(image)))), rng)
    nested_trunk = keras.Model(inner, trunk(inner), name="trunk")
    nested_trunk.set_weights(flat.get_weights()[:-2])
    nested = keras.Model(image, head(layers.GlobalAveragePooling2D()(nested_trunk(image))))
    images = nets.images(rng, 2, flat)
    for method in (guided_backprop, deconvnet):
        found = method(nested, images, 1, raw=True)
        np.testing.assert_allclose(found, method(flat, images, 1, raw=True), rtol=1e-4, atol=1e-6)
        assert np.abs(found - saliency(nested, images, 1, raw=True)).max() > 1e-3


def test_any_filter_of_any_layer(rng):
    model = nets.randomise(nets.inception(rng), rng)
    images = nets.images(rng, 2, model)
    layer = model.layers[1].name
    found = guided_backprop(model, images, 2, layer=layer, raw=True)
    size = [len(np.unique(np.argwhere(one)[:, :2], axis=0)) for one in found]
    assert all(0 < count <= 9 for count in size)  # a 3 x 3 filter sees no more


def test_without_rectifiers_there_is_nothing_to_guide(rng):
    image = keras.Input((6, 6, 3))
    x = layers.LeakyReLU()(layers.Conv2D(2, 3)(image))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(layers.Flatten()(x)))
    with pytest.raises(UserError, match="no ReLU or ReLU6"):
        guided_backprop(model, nets.images(rng, 1, model))


def resampled_by_loops(signal, height, width):
    """Nearest neighbours: pixel (y, x) of the larger map is the one that its centre falls on."""
    h, w = signal.shape[:2]
    return np.array(
        [
            [signal[int((y + 0.5) * h / height), int((x + 0.5) * w / width)] for x in range(width)]
            for y in range(height)
        ]
    )


@pytest.mark.parametrize("pool", [False, True])
def test_resampling_equals_its_literal_twin(pool, rng):
    image = keras.Input((8, 8, 2))
    if pool:
        x = layers.AveragePooling2D(2, name="strided")(image)
    else:
        x = layers.Conv2D(3, 3, strides=2, padding="valid", name="strided")(image)
    x = layers.ReLU()(x)
    model = nets.randomise(keras.Model(image, layers.Dense(2, name="answer")(layers.Flatten()(x))), rng)
    images = nets.images(rng, 1, model)
    before = np.asarray(keras.Function(model.inputs, model.get_layer("strided").output)([images]))[0]
    signal = np.asarray(model.get_layer("answer").kernel)[:, 1].reshape(before.shape)
    signal = np.where((signal > 0) & (before > 0), signal, 0)
    side = 7 if pool else 6
    signal = resampled_by_loops(signal, side, side)
    expected = np.zeros((8, 8, 2))
    if not pool:
        kernel = np.asarray(model.get_layer("strided").kernel)
    for y, x, i, j in np.ndindex(side, side, *((2, 2) if pool else (3, 3))):
        expected[y + i, x + j] += signal[y, x] / 4 if pool else kernel[i, j] @ signal[y, x]
    found = guided_backprop(model, images, 1, resample=True, raw=True)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [deconvnet, guided_backprop])
def test_resampling_takes_the_grid_away(method, rng):
    x = image = keras.Input((48, 48, 3))
    for _ in range(2):
        x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    model = nets.randomise(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))), rng)
    images = nets.images(rng, 4, model)
    left = [grid_artefacts(method(model, images, 1, resample=how)[:, 8:-8, 8:-8], 8) for how in (False, True)]
    assert (left[1] < 0.5 * left[0]).all()
    assert model.layers[1].strides == (2, 2)


def test_grid_artefacts_of_known_maps(rng):
    comb = np.zeros((12, 12))
    comb[::4, ::4] = 3
    maps = np.stack([np.ones((12, 12)), comb, -comb, np.zeros((12, 12))])
    np.testing.assert_allclose(grid_artefacts(maps, 4), [0, 1 - 1 / 16, 1 - 1 / 16, 0], atol=1e-12)
    assert grid_artefacts(rng.random((1, 200, 200)), 2) < 0.01


def test_grid_artefacts_are_energy_at_the_strides_frequencies(rng):
    maps = rng.random((2, 12, 18)) - 0.3
    energy = np.abs(np.fft.fft2(np.abs(maps))) ** 2
    at_stride = energy[:, ::4, ::6].reshape(2, -1)  # frequencies k / 3 of 12 rows and 18 columns
    expected = at_stride[:, 1:].sum(axis=1) / at_stride.sum(axis=1)
    np.testing.assert_allclose(grid_artefacts(maps, 3), expected, rtol=1e-9)


def test_grid_artefacts_refuse_what_they_cannot_measure():
    with pytest.raises(UserError, match="a stride from 2 to their sides"):
        grid_artefacts(np.zeros((1, 4, 4)), 5)
    with pytest.raises(UserError, match="expected maps"):
        grid_artefacts(np.zeros((4, 4)), 2)
