"""Excitation backprop: probabilities that add up, by loops over neurons as in the paper."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets

from gazeback.cnn_trace.rules import table
from gazeback.cnn_trace.rules.rule import Rule
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.excitation import contrastive_excitation_backprop, excitation_backprop
from gazeback.models.errors import UserError


def small(rng, activation="relu"):
    """Two convolutions, a pool and two dense layers."""
    x = image = keras.Input((7, 6, 2))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation=activation, name="first")(x)
    x = layers.Conv2D(5, 2, activation="relu", name="second")(x)
    x = layers.MaxPooling2D((2, 1), strides=1, name="pool")(x)
    x = layers.Dense(6, activation="relu", name="hidden")(layers.Flatten()(x))
    model = nets.randomise(keras.Model(image, layers.Dense(3, name="answer")(x)), rng)
    return model, np.abs(nets.images(rng, 3, model))


def values(model, image, *names):
    made = [model.get_layer(name).output for name in names]
    return [np.asarray(x, np.float64)[0] for x in keras.Function(model.inputs, made)([image[None]])]


def handed_down(winning, activations, weights):
    """Zhang et al. 2018, section 3.2: P(a_j) = sum over i of P(a_i) * a_j w_ji+ / sum over k of a_k w_ki+.

    ``weights[j, i]`` from neuron j below to neuron i above.
    """
    below = np.zeros(len(activations))
    for i, probability in enumerate(winning):
        positive = np.maximum(weights[:, i], 0)
        total = sum(a * w for a, w in zip(activations, positive, strict=True))
        for j, (a, w) in enumerate(zip(activations, positive, strict=True)):
            below[j] += probability * a * w / total if total > 0 else 0.0
    return below


def as_matrix(layer, shape):
    """The weights [inputs, outputs] of a convolution, from its answer to one pixel at a time."""
    one_hot = np.eye(np.prod(shape), dtype=np.float32).reshape(-1, *shape)
    answers = ops.conv(one_hot, layer.kernel, layer.strides, layer.padding)
    return np.asarray(answers, np.float64).reshape(len(one_hot), -1)


def by_loops(model, image, target, sense=1):
    """Winning probabilities of the pixels, the first and the second map, and the pooled one."""
    first, second, pooled, hidden = values(model, image, "first", "second", "pool", "hidden")
    answer = sense * np.asarray(model.get_layer("answer").kernel, np.float64)[:, target : target + 1]
    at_hidden = handed_down(np.ones(1), hidden, answer)
    kernel = np.asarray(model.get_layer("hidden").kernel, np.float64)
    at_pooled = handed_down(at_hidden, pooled.ravel(), kernel).reshape(pooled.shape)
    at_second = np.zeros(second.shape)
    for y, x, c in np.ndindex(pooled.shape):
        winner = int(second[y : y + 2, x, c].argmax())
        at_second[y + winner, x, c] += at_pooled[y, x, c]
    matrix = as_matrix(model.get_layer("second"), first.shape)
    at_first = handed_down(at_second.ravel(), first.ravel() - min(first.min(), 0), matrix)
    matrix = as_matrix(model.get_layer("first"), image.shape)
    at_image = handed_down(at_first, image.ravel().astype(np.float64), matrix)
    maps = {"input": at_image.reshape(image.shape), "first": at_first.reshape(first.shape)}
    return maps | {"second": at_second, "pool": at_pooled}


@pytest.mark.parametrize(
    ("activation", "shown"), [("relu", ["input", "first", "second", "pool"]), ("tanh", ["input"])]
)
def test_equals_its_literal_twin_at_every_layer(activation, shown, rng):
    model, images = small(rng, activation)
    expected = [by_loops(model, image, 1) for image in images]
    contrast = [by_loops(model, image, 1, sense=-1) for image in images]
    for at in shown:
        won = np.stack([maps[at].sum(axis=-1) for maps in expected])
        found = excitation_backprop(model, images, 1, at=at, raw=True)
        np.testing.assert_allclose(found, won, rtol=1e-3, atol=1e-6)
        lost = np.stack([maps[at].sum(axis=-1) for maps in contrast])
        found = contrastive_excitation_backprop(model, images, 1, at=at, raw=True)
        np.testing.assert_allclose(found, np.maximum(won - lost, 0), rtol=1e-3, atol=1e-6)


def test_probabilities_sum_to_one_at_every_layer(rng):
    model, images = small(rng)
    for name in ("answer", "hidden", "second", "first"):
        kernel = model.get_layer(name).kernel
        kernel.assign(np.abs(kernel))  # so that no neuron is without an excitatory input
    for at in ("pool", "second", "first", "input"):
        total = excitation_backprop(model, images, at=at, raw=True).sum(axis=(1, 2))
        np.testing.assert_allclose(total, 1, rtol=1e-4)


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_batch_normalisation_is_folded(depthwise, rng):
    """The same as the convolution with the folded kernel, negative gammas among them."""

    def net(normalised):
        x = image = keras.Input((6, 6, 3))
        x = layers.Conv2D(4, 3, activation="relu", name="a")(x)
        kind = (
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="b")
            if depthwise
            else layers.Conv2D(8, 3, name="b")
        )
        x = kind(x)
        x = layers.BatchNormalization(name="norm")(x) if normalised else x
        return keras.Model(image, layers.Dense(3, name="c")(layers.Flatten()(layers.ReLU()(x))))

    model, folded = nets.randomise(net(True), rng), net(False)
    norm = model.get_layer("norm")
    scale = np.asarray(norm.gamma / ops.sqrt(norm.moving_variance + norm.epsilon))
    assert (scale < 0).any()
    for name in ("a", "b", "c"):
        folded.get_layer(name).set_weights(model.get_layer(name).get_weights())
    kernel, bias = model.get_layer("b").get_weights()
    shaped = scale.reshape(kernel.shape[2:]) if depthwise else scale
    shift = np.asarray(norm.beta - norm.moving_mean * scale)
    folded.get_layer("b").set_weights([kernel * shaped, bias * scale + shift])
    images = nets.images(rng, 2, model)
    for method in (excitation_backprop, contrastive_excitation_backprop):
        found = method(model, images, 1, at="input", raw=True)
        np.testing.assert_allclose(
            found, method(folded, images, 1, at="input", raw=True), rtol=1e-3, atol=1e-6
        )


def block(x):
    """Every kind of layer that hands all of the probability on."""
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="shown")(x)
    y = layers.SeparableConv2D(4, 3, padding="same", depth_multiplier=2, activation="relu")(x)
    z = layers.AveragePooling2D(3, strides=1, padding="same")(layers.ReLU(6.0)(x))
    x = layers.Add()([x, y, z])
    x = layers.Concatenate()([x, ops.relu(x + y), layers.Average()([y, z]) * 2.0])
    gate = layers.Dense(12, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, gate])
    x = layers.ZeroPadding2D(1)(layers.Dropout(0.3)(x))
    x = layers.Subtract()(
        [layers.Conv2D(5, 2, strides=2, activation="relu")(x), layers.Conv2D(5, 2, strides=2)(x)]
    )
    return ops.mean(layers.Activation("relu")(x), axis=(1, 2))


def test_no_probability_is_lost_on_the_way(rng):
    image = keras.Input((9, 8, 3))
    model = nets.randomise(keras.Model(image, layers.Dense(3)(block(image))), rng)
    for weight in model.weights:
        if "bias" not in weight.path:
            weight.assign(np.abs(weight))
    images = np.abs(nets.images(rng, 3, model))
    total = excitation_backprop(model, images, 1, at="shown", raw=True).sum(axis=(1, 2))
    np.testing.assert_allclose(total, 1, rtol=1e-3)


def test_the_default_map_has_an_eighth_of_the_sides(rng):
    x = image = keras.Input((64, 64, 3))
    for index in range(5):
        x = layers.Conv2D(3, 3, strides=2, padding="same", activation="relu", name=f"conv{index}")(x)
    model = nets.randomise(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))), rng)
    images = np.abs(nets.images(rng, 1, model))
    found = excitation_backprop(model, images, 1)
    np.testing.assert_allclose(found, excitation_backprop(model, images, 1, at="conv2"), rtol=1e-6)
    assert tracer_of(model).graph.calls_of("conv2")[-1].outputs[0].shape[1] == 8


def test_the_default_map_lies_on_every_way(rng):
    image = keras.Input((32, 32, 3))
    x = before = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="before")(image)
    branch = layers.Conv2D(4, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Add()([layers.MaxPooling2D(8)(before), layers.MaxPooling2D(8)(branch)])
    model = nets.randomise(keras.Model(image, layers.Dense(3)(layers.Flatten()(x))), rng)
    images = np.abs(nets.images(rng, 2, model))
    found = excitation_backprop(model, images, 1)
    np.testing.assert_allclose(found, excitation_backprop(model, images, 1, at="before"), rtol=1e-6)


def test_a_layer_without_a_rule_is_named(rng):
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="low")(image)
    x = layers.Conv2DTranspose(4, 3, activation="relu", name="strange")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="high")(x)
    model = nets.randomise(keras.Model(image, layers.Dense(3)(layers.Flatten()(x))), rng)
    images = nets.images(rng, 1, model)
    assert excitation_backprop(model, images, at="high").shape == (1, 6, 6)
    with pytest.raises(UserError, match="layer 'strange' of class Conv2DTranspose has no rule"):
        excitation_backprop(model, images, at="low")


class Own(layers.Layer):
    """A 1 x 1 convolution with a kernel and a bias."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), initializer="random_normal")
        self.bias = self.add_weight(shape=(4,), initializer="ones")

    def call(self, x):
        return ops.matmul(x, self.kernel) + self.bias


def test_a_registered_layer_passes_probabilities_by_its_weights(rng, monkeypatch):
    """As a convolution with the same weights."""
    monkeypatch.setattr(table, "_rules_of_classes", {})
    monkeypatch.setitem(table.LAYERS, Own, Rule(excitation="linear"))
    image = keras.Input((6, 6, 3))
    own, known = (
        keras.Model(image, layers.Dense(3, name="answer")(layers.Flatten()(ops.relu(layer(image)))))
        for layer in (Own(name="low"), layers.Conv2D(4, 1, name="low"))
    )
    nets.randomise(own, rng)
    kernel, bias = own.get_layer("low").get_weights()
    known.get_layer("low").set_weights([kernel[None, None], bias])
    known.get_layer("answer").set_weights(own.get_layer("answer").get_weights())
    images = nets.images(rng, 2, own)
    for method in (excitation_backprop, contrastive_excitation_backprop):
        found, expected = (method(model, images, 1, at="input", raw=True) for model in (own, known))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_images_of_any_size(rng):
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="map")(image)
    model = nets.randomise(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))), rng)
    for size in (8, 12):
        images = np.abs(rng.normal(size=(2, size, size + 2, 3))).astype("float32")
        assert excitation_backprop(model, images, 1).shape == (2, size, size + 2)
