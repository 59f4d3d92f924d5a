"""Attention layers are opened; contributions of tokens and biases sum to what the model gave."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact, assert_recorded, total

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.tracer import METHODS, Options, Tracer

pytestmark = pytest.mark.usefixtures("eager")

SIZE = 4


def tokens(image, size=SIZE):
    """[n, 6, size] of an image [4, 6, 3]."""
    return layers.Reshape((6, size))(layers.Conv2D(size, 2, strides=2, name="patches")(image))


def dense(x, units=SIZE):
    return layers.Dense(units)(x)


def heads(*arguments, **settings):
    return layers.MultiHeadAttention(2, 3, *arguments, **settings)


LAYERS = {
    "multi-head": lambda x: heads()(x, x),
    "three tensors": lambda x: heads()(dense(x), dense(x, 5), dense(x, 3)),
    "value size, output shape": lambda x: heads(5, output_shape=7)(x, dense(x)),
    "two output axes": lambda x: heads(output_shape=(3, 2))(x, x),
    "no bias": lambda x: heads(use_bias=False)(x, x),
    "causal": lambda x: heads()(x, x, use_causal_mask=True),
    "dropout": lambda x: heads(dropout=0.1)(x, x),
    "dropout, causal": lambda x: heads(dropout=0.1)(x, x, use_causal_mask=True),
    "scores": lambda x: heads()(x, x, return_attention_scores=True)[0],
    "mask": lambda x: heads()(x, x, attention_mask=np.tri(6)[None] > 0),
    "mask and causal": lambda x: heads()(x, x, attention_mask=np.eye(6)[None] == 0, use_causal_mask=True),
    "one query": lambda x: heads()(ops.mean(x, axis=1, keepdims=True), x),
    "on a map": lambda x: heads()(*[layers.Reshape((2, 3, SIZE))(x)] * 2),
    "along rows of a map": lambda x: heads(attention_axes=2)(*[layers.Reshape((2, 3, SIZE))(x)] * 2),
    "grouped": lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x),
    "grouped, causal": lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True),
    "dot": lambda x: layers.Attention()([dense(x), x]),
    "dot, scaled": lambda x: layers.Attention(use_scale=True)([dense(x), x, dense(x)]),
    "concat": lambda x: layers.Attention(score_mode="concat")([dense(x), x]),
    "dot, causal": lambda x: layers.Attention()([dense(x), x], use_causal_mask=True),
    "additive": lambda x: layers.AdditiveAttention()([dense(x), x]),
    "additive, causal": lambda x: layers.AdditiveAttention(use_scale=False)([x, x], use_causal_mask=True),
    "operator": lambda x: ops.dot_product_attention(*[ops.reshape(x, (-1, 6, 2, 2))] * 3),
    "operator, fewer heads of keys": lambda x: ops.dot_product_attention(
        ops.reshape(dense(x, 8), (-1, 6, 4, 2)), *[ops.reshape(x, (-1, 6, 2, 2))] * 2
    ),
    "operator, bias and mask": lambda x: ops.dot_product_attention(
        *[ops.reshape(x, (-1, 6, 2, 2))] * 3,
        bias=np.eye(6, dtype="float32")[None, None],
        mask=np.tri(6)[None, None] > 0,
        scale=0.3,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_attention_layers(name, rng):
    image = keras.Input((4, 6, 3))
    model = nets.randomise(keras.Model(image, LAYERS[name](tokens(image))), rng)
    images = nets.images(rng, 2, model)
    assert_exact(model, images, rng)
    assert_recorded(model, images)
    for method in METHODS:
        assert len(trace(model, images, method=method)[0]) or method == "top"


def literal_contributions(layer, x, step, unit):
    """What each token hands to one unit of a step's output, attention weights frozen: ``[tokens, size]``.

    ``y_t = b_o + sum_h W_o,h (b_v,h + sum_s a_h,t,s W_v,h x_s)``; and the part of the biases.
    """
    (wq, bq, wk, bk, wv, bv, wo, bo) = (np.asarray(w, np.float64) for w in layer.weights)
    count, size = x.shape
    contributions, bias = np.zeros((count, size)), bo[unit]
    for h in range(wq.shape[1]):
        q = x[step] @ wq[:, h] + bq[h]
        scores = [float(q @ (x[s] @ wk[:, h] + bk[h])) / np.sqrt(wq.shape[2]) for s in range(count)]
        weights = np.exp(np.array(scores) - max(scores))
        weights /= weights.sum()
        for s in range(count):
            for j in range(size):
                contributions[s, j] += weights[s] * float(wv[j, h] @ wo[h, :, unit]) * x[s, j]
        bias += float(bv[h] @ wo[h, :, unit])
    return contributions, bias


def test_contributions_of_multi_head_attention_are_those_of_the_literal_twin(rng):
    image = keras.Input((4, 6, 3))
    layer = layers.MultiHeadAttention(2, 3)
    x = tokens(image)
    model = nets.randomise(keras.Model(image, layer(x, x)), rng)
    images = nets.images(rng, 1, model)
    values = np.asarray(keras.Model(image, x)(images), np.float64)[0]
    tracer = Tracer(model)
    neurons = np.array([[[2, 1], [5, 3]]])
    asked = tracer.explain(check_inputs(tracer.graph, images), tracer.target(), lambda _: neurons, Options())
    ((tensor, coefficients),) = asked.decomposition.maps.items()
    assert tensor.name == "patches"
    for question, (step, unit) in enumerate(neurons[0]):
        expected, bias = literal_contributions(layer, values, step, unit)
        found = coefficients[question].reshape(6, SIZE) * values
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        assert asked.decomposition.bias[question] == pytest.approx(bias, abs=1e-4)


class Block(layers.Layer):
    """A transformer's block, of a person's own."""

    def __init__(self, causal=False, **keywords):
        super().__init__(**keywords)
        self.causal, self.supports_masking = causal, True
        self.attention = layers.MultiHeadAttention(2, SIZE, name="attention")
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.dense = [layers.Dense(8, activation="gelu"), layers.Dense(SIZE)]

    def build(self, shape):
        self.attention.build(shape, shape)
        for norm in self.norms:
            norm.build(shape)
        self.dense[0].build(shape)
        self.dense[1].build((*shape[:-1], 8))

    def call(self, x):
        x = self.norms[0](x + self.attention(x, x, use_causal_mask=self.causal))
        return self.norms[1](x + self.dense[1](self.dense[0](x)))


def test_a_transformer_of_own_blocks(rng):
    image = keras.Input((4, 6, 3))
    x = Block(name="first")(tokens(image))
    x = ops.mean(Block(name="second")(x), axis=1)
    model = nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)
    images = nets.images(rng, 2, model)
    assert_exact(model, images, rng)
    assert_recorded(model, images)
    tracer = Tracer(model)
    names = [call.name for call in tracer.graph.calls]
    assert "first/attention/query" in names
    maps = [tensor.name for call in tracer.graph.calls for tensor in call.outputs if tensor.is_map]
    assert maps == ["patches"]
    for method in METHODS:
        assert len(trace(model, images, 1, method=method)[0]) or method == "top"


@pytest.mark.parametrize("length", [None, 5])
def test_cross_attention_of_words_to_tokens(length, rng):
    """Words look at words before them, then at the image; a mask hides padded words."""
    image, ids = keras.Input((4, 6, 3)), keras.Input((length,), dtype="int32")
    embedding = layers.Embedding(7, SIZE, mask_zero=True)
    words = layers.LayerNormalization()(embedding(ids))
    words = layers.Add()([words, heads()(words, words, use_causal_mask=length is None)])
    x = layers.Add()([words, heads()(words, tokens(image))])
    model = nets.randomise(keras.Model([image, ids], layers.Dense(7)(x)), rng)
    given = [rng.normal(size=(2, 4, 6, 3)).astype("float32"), np.array([[3, 1, 2, 0, 0], [1, 2, 3, 4, 5]])]
    assert_exact(model, given, rng)
    assert_recorded(model, given)
    tracer = Tracer(model)
    neurons = np.array([[[t, w] for t in range(5) for w in (2, 5)]] * 2)
    asked = tracer.explain(check_inputs(tracer.graph, given), tracer.target(), lambda _: neurons, Options())
    owner = np.repeat([0, 1], 10)
    expected = np.asarray(model(given))[owner, neurons[..., 0].ravel(), neurons[..., 1].ravel()]
    found = total(asked.decomposition, asked.recording, owner)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class Masked(layers.Layer):
    """Its attention reads the mask that its input carries; it has no argument for one."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.supports_masking = True
        self.attention = heads(name="attention")

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return x + self.attention(x, x)


def test_a_mask_that_the_input_of_an_own_layer_carries(rng):
    image, ids = keras.Input((4, 6, 3)), keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, SIZE, mask_zero=True)(ids)
    x = layers.Add()([x, layers.RepeatVector(5)(dense(layers.Flatten()(tokens(image))))])
    model = nets.randomise(keras.Model([image, ids], Masked()(x)), rng)
    given = [rng.normal(size=(2, 4, 6, 3)).astype("float32"), np.array([[3, 1, 2, 0, 0], [1, 2, 0, 4, 5]])]
    assert_recorded(model, given)
    assert_exact(model, given, rng)


class Scaled(layers.Layer):
    """Its weights stand on the left: ``variable * x``."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:])
        self.position = self.add_weight(name="position", shape=shape[1:])

    def call(self, x):
        return self.position + self.scale * x


def test_a_weight_on_the_left_of_an_operator(rng):
    image = keras.Input((4, 6, 3))
    model = nets.randomise(keras.Model(image, Scaled()(tokens(image))), rng)
    images = nets.images(rng, 2, model)
    assert_exact(model, images, rng)
    with pytest.raises(ValueError, match="KerasTensor"):
        keras.Variable(np.ones(3, "float32")) * keras.KerasTensor((2, 3))  # only while a layer is opened
