"""Sums of products: exact adjoints, walks that equal the literal twin, attention weights as constants."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins.checks import check, check_walk, model_of
from twins.exact import assert_exact

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.rules.gates import is_gate
from gazeback.cnn_trace.tracer import METHODS, Tracer

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:NotImplemented should not"),  # Keras' tensordot
]


def constant(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


def tokens(image):
    """[n, 6, 4] with values of both signs."""
    return layers.Reshape((6, 4))(layers.BatchNormalization()(layers.Conv2D(4, 2, strides=2)(image)))


def weighted(x):
    """One softmax over the tokens for each of three queries, [n, 3, 6]."""
    return ops.softmax(ops.transpose(layers.Dense(3)(x), (0, 2, 1)), axis=-1)


def projection(equation, shape, bias=None, **settings):
    return lambda x: layers.EinsumDense(equation, output_shape=shape, bias_axes=bias, **settings)(x)


WEIGHTS = {
    "dense": projection("abc,cd->abd", (None, 3), "d"),
    "heads": projection("abc,cde->abde", (None, 2, 3), "de", activation="relu"),
    "weights of each token": projection("abc,bcd->abd", (6, 3), "d"),
    "all tokens": projection("abc,bcd->ad", (3,), "d"),
    "ellipsis": projection("...c,cd->...d", (3,), "d"),
    "einsum": lambda x: ops.einsum("abc,cd->adb", x, constant(4, 3)),
    "einsum of one tensor": lambda x: ops.einsum("abc->ac", x),
    "two matrices": lambda x: ops.einsum("abc,cd,de->abe", x, constant(4, 5), constant(5, 3)),
    "matrix first": lambda x: ops.matmul(constant(3, 6), x),
    "matrix of a batch": lambda x: ops.matmul(constant(1, 3, 6), x),
    "matrix": lambda x: ops.matmul(x, constant(4, 3)),
    "vector": lambda x: ops.matmul(x, constant(4)),
    "vector first": lambda x: ops.matmul(constant(6), x),
    "dot": lambda x: ops.dot(x, constant(4, 3)),
    "dot with a vector": lambda x: ops.dot(x, constant(4)),
    "tensordot": lambda x: ops.tensordot(x, constant(4, 2, 3), axes=[[2], [0]]),
    "tensordot over tokens": lambda x: ops.tensordot(x, constant(6, 4, 3), axes=[[1, 2], [0, 1]]),
    "number of axes": lambda x: ops.tensordot(x, constant(4, 3), axes=1),
}

TENSORS = {
    "attention": lambda x: ops.einsum("ats,asd->atd", weighted(x), x),
    "attention, matmul": lambda x: ops.matmul(weighted(x), x),
    "values first": lambda x: ops.einsum("asd,ats->atd", x, weighted(x)),
    "one attention for two heads": lambda x: ops.matmul(weighted(x)[:, None], ops.stack([x, -x], axis=1)),
    "products of tokens": lambda x: ops.einsum("asd,atd->ast", x, layers.Dense(4)(x)),
    "the same tensor twice": lambda x: ops.einsum("asd,ase->ade", x, x),
    "three tensors": lambda x: ops.einsum(
        "ats,asd,ade->ate", weighted(x), x, ops.einsum("asd,ase->ade", x, x)
    ),
    "two tensors and a matrix": lambda x: ops.einsum("asd,de,ate->ast", x, constant(4, 4), x),
    "Dot": lambda x: layers.Dot(axes=(2, 1))([weighted(x), x]),
    "Dot of vectors": lambda x: layers.Dot(axes=1)([x[:, 0], x[:, 1]]),
    "Dot, normalised": lambda x: layers.Dot(axes=-1, normalize=True)([x, layers.Dense(4)(x)]),
}


def gated(x):
    """``weighted`` in layers that the twin of the walk knows, and tokens."""
    scores = layers.Permute((2, 1))(layers.Dense(3)(x))
    return layers.Softmax()(scores)


@pytest.mark.parametrize("name", [*WEIGHTS, *TENSORS])
def test_the_adjoint_is_exact_and_every_method_traces(name):
    function = (WEIGHTS | TENSORS)[name]
    model, images, rng = model_of(lambda image: function(tokens(image)), (4, 6, 3), 0)
    assert_exact(model, images, rng)
    for method in METHODS:
        assert len(trace(model, images, method=method)[0]) or method == "top"


WALKS = {
    "heads": projection("abc,cde->abde", (None, 2, 3), "de"),
    "weights of each token": projection("abc,bcd->abd", (6, 3)),
    "all tokens": projection("abc,bcd->ad", (3,)),
    "einsum": lambda x: ops.einsum("abc,cd->adb", x, constant(4, 3)),
    "attention": lambda x: ops.einsum("ats,asd->atd", gated(x), x),
    "values first": lambda x: ops.einsum("asd,ats->atd", x, gated(x)),
    "products of tokens": lambda x: ops.einsum("asd,atd->ast", x, layers.Dense(4)(x)),
    "the same tensor twice": lambda x: ops.einsum("asd,ase->ade", x, x),
    "two tensors and a matrix": lambda x: ops.einsum("asd,de,ate->ast", x, constant(4, 4), x),
}


@pytest.mark.parametrize("name", WALKS)
def test_the_walk_equals_the_literal_twin(name):
    model, images, rng = model_of(lambda image: WALKS[name](tokens(image)), (4, 6, 3), 1)
    check_walk(model, images[:1], rng, 6, "same")


def test_a_matrix_on_a_map_is_a_convolution():
    check(projection("abcd,de->abce", (None, None, 3), "e"), (4, 5, 2))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: ops.tensordot(x, x, axes=[[2], [2]]), "mixes the images of a batch"),
        (lambda x: ops.einsum("abc,dbc->ad", x, x), "mixes the images of a batch"),
        (lambda x: ops.einsum("abc->bc", x), "mixes the images of a batch"),
        (lambda x: ops.matmul(constant(2, 3, 6), x), "a constant of 2 images"),
        (lambda x: ops.einsum("ats,aus->atu", weighted(x), weighted(x)), "a softmax inside the head"),
        (lambda x: ops.einsum("abb->ab", ops.matmul(x, constant(4, 6))), "takes a diagonal"),
    ],
)
def test_what_has_no_rule_is_refused(function, message):
    model, images, rng = model_of(lambda image: function(tokens(image)), (4, 6, 3), 0)
    with pytest.raises(TraceError, match=message):
        assert_exact(model, images, rng)


def test_scores_need_no_rules():
    """What only made attention weights is never passed: it may be anything."""

    def attention(x):
        weights = ops.softmax(ops.sort(layers.Dense(1)(x), axis=1), axis=1)
        return ops.sum(weights * x, axis=1)

    model, images, rng = model_of(lambda image: attention(tokens(image)), (4, 6, 3), 0)
    assert_exact(model, images, rng)
    for method in METHODS:
        assert len(trace(model, images, method=method)[0])


MASK = np.array([1, 1, 0, 1, 0, 1], "float32")[:, None]
GATES = {
    "softmax": (lambda x: ops.softmax(x, axis=1), True),
    "layer": (lambda x: layers.Softmax(axis=1)(x), True),
    "activation": (lambda x: layers.Dense(1, activation="sigmoid")(x), True),
    "linear": (lambda x: layers.Dense(1)(x), False),
    "relu": (lambda x: ops.relu(x), False),
    "moved": (lambda x: ops.transpose(ops.softmax(x, axis=1), (0, 2, 1))[:, :, None], True),
    "dropped": (lambda x: layers.Dropout(0.1)(layers.Softmax(axis=1)(x)), True),
    "masked": (lambda x: ops.softmax(x, axis=1) * MASK, True),
    "masked by a choice": (lambda x: ops.where(MASK > 0, ops.softmax(x, axis=1), 0.0), True),
    "by hand": (lambda x: ops.exp(x) / ops.sum(ops.exp(x), axis=1, keepdims=True), True),
    "by hand, masked": (lambda x: (ops.exp(x) * MASK) / ops.sum(ops.exp(x) * MASK, axis=1), True),
    "times values": (lambda x: ops.softmax(x, axis=1) * x, False),
    "stacked": (lambda x: ops.stack([ops.softmax(x[:, 0]), ops.softmax(x[:, 1])], axis=1), True),
    "stacked with values": (lambda x: ops.stack([ops.softmax(x[:, 0]), x[:, 1]], axis=1), False),
}


@pytest.mark.parametrize("name", GATES)
def test_gates(name):
    function, expected = GATES[name]
    model, _, _ = model_of(lambda image: function(tokens(image)), (4, 6, 3), 0)
    assert is_gate(Tracer(model).graph.outputs[0]) == expected


def test_a_mask_of_words_on_attention_is_a_constant(rng):
    image, words = keras.Input((4, 6, 3)), keras.Input((6,), dtype="int32")
    x = tokens(image)
    present = ops.expand_dims(ops.cast(ops.not_equal(words, 0), "float32"), -1)
    weights = layers.Multiply(name="masked")([ops.softmax(layers.Dense(1)(x), axis=1), present])
    model = keras.Model([image, words], ops.sum(weights * x, axis=1))
    assert is_gate(Tracer(model).graph.calls_of("masked")[0].outputs[0])
    ids = np.array([[1, 2, 0, 3, 0, 0], [4, 0, 1, 1, 1, 1]])
    assert_exact(model, [rng.normal(size=(2, 4, 6, 3)).astype("float32"), ids], rng)
