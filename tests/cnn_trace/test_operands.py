"""Every operator over every pattern of operands: a rule reads what it declares, and its adjoint is exact."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact

from gazeback.cnn_trace import Rule, TraceError, register_rule, trace
from gazeback.cnn_trace.tracer import METHODS

pytestmark = pytest.mark.usefixtures("eager")

VECTOR = np.array([1.0, -2.0, 0.5, 0.1], "float32")
FULL = np.random.default_rng(1).normal(size=(6, 5, 4)).astype("float32")
COLUMN = FULL[:, :1, :1]

OPERATORS = {
    "add": ops.add,
    "subtract": ops.subtract,
    "multiply": ops.multiply,
    "divide": ops.divide,
    "true_divide": ops.true_divide,
    "maximum": ops.maximum,
    "minimum": ops.minimum,
    "power": lambda a, b: ops.power(ops.abs(a) + 0.1, b),
    "where": lambda a, b: ops.where(ops.abs(a) > 0.5, a, b),
    "stack": lambda a, b: ops.stack([ops.add(a, 0 * b), ops.add(0 * a, b)], axis=-1),
}
LAYERS = {
    "Add": layers.Add,
    "Subtract": layers.Subtract,
    "Multiply": layers.Multiply,
    "Average": layers.Average,
    "Maximum": layers.Maximum,
    "Minimum": layers.Minimum,
}


def mean(x, *axes, keepdims=True):
    return ops.mean(x, axis=axes, keepdims=keepdims)


# What an operator f is called on, from a map x [6, 5, 4] that has values of both signs.
PATTERNS = {
    "two tensors": lambda f, x: f(x, layers.Conv2D(4, 1)(x)),
    "the same tensor twice": lambda f, x: f(x, x),
    "tensor, number": lambda f, x: f(x, 0.7),
    "number, tensor": lambda f, x: f(0.7, x),
    "tensor, vector": lambda f, x: f(x, VECTOR),
    "vector, tensor": lambda f, x: f(np.abs(VECTOR), x),
    "tensor, array": lambda f, x: f(x, FULL),
    "array, tensor": lambda f, x: f(np.abs(FULL), x),
    "tensor, array with a batch axis": lambda f, x: f(x, FULL[None]),
    "tensor, column": lambda f, x: f(x, COLUMN),
    "column, tensor": lambda f, x: f(np.abs(COLUMN), x),
    "tensor, its mean": lambda f, x: f(x, mean(x, 1, 2)),
    "its mean, tensor": lambda f, x: f(ops.abs(mean(x, 1, 2)), x),
    "tensor, mean of its channels": lambda f, x: f(x, mean(x, 3)),
    "row, column": lambda f, x: f(ops.abs(mean(x, 1)), mean(x, 2)),
    "pooled, vector": lambda f, x: f(mean(x, 1, 2, keepdims=False), VECTOR),
    "one number for each image": lambda f, x: f(mean(x, 1, 2, 3, keepdims=False), 0.3),
    "two numbers for each image": lambda f, x: f(
        mean(x, 1, 2, 3, keepdims=False), ops.max(x, axis=(1, 2, 3))
    ),
    "number with a new axis, vector": lambda f, x: f(mean(x, 1, 2, 3, keepdims=False)[:, None], VECTOR),
}
OF_TENSORS = ("two tensors", "the same tensor twice", "tensor, its mean", "its mean, tensor", "row, column")


def assert_traced(function, shape=(6, 5, 2)):
    rng = np.random.default_rng(0)
    image = keras.Input(shape)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image))
    model = nets.randomise(keras.Model(image, function(x)), rng)
    images = nets.images(rng, 2, model)
    assert_exact(model, images, rng)
    answer = tuple(size - 1 for size in model.outputs[0].shape[1:]) or None
    for method in METHODS:
        for found in trace(model, images, answer, method=method):
            assert np.isfinite(found.weights).all()


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_operators(operator, pattern):
    if operator == "power" and pattern == "the same tensor twice":
        pytest.skip("a negative number to a fraction is no number")
    assert_traced(lambda x: PATTERNS[pattern](OPERATORS[operator], x))


@pytest.mark.parametrize("pattern", [*OF_TENSORS, "tensor, array with a batch axis"])
@pytest.mark.parametrize("kind", LAYERS)
def test_merging_layers(kind, pattern):
    assert_traced(lambda x: PATTERNS[pattern](lambda a, b: LAYERS[kind]()([a, b]), x))


def test_the_usual_rescaling_inside_a_model(rng):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image / 127.5 - 1)
    p = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    model = nets.randomise(keras.Model(image, ops.concatenate([1 - p, p], axis=-1)), rng)
    for method in METHODS:
        for target in (0, 1):
            trace(model, rng.uniform(0, 255, (1, 8, 8, 3)), target, method=method)


def test_an_error_over_all_axes(rng):
    """An autoencoder's answer: one number for each image, with and without a new axis."""
    image = keras.Input((6, 6, 3))
    error = ops.mean(ops.square(layers.Conv2D(3, 3, padding="same")(image) - image), axis=(1, 2, 3))
    for answer in (error, error[:, None]):
        model = nets.randomise(keras.Model(image, answer), rng)
        for method in METHODS:
            assert len(trace(model, nets.images(rng, 1, model), method=method)[0])
    model = keras.Model(image, error)
    with pytest.raises(TraceError, match="holds one number for each image: leave the target out"):
        trace(model, nets.images(rng, 1, model), 0)


class Doubled(layers.Layer):
    def call(self, x):
        return keras.ops.convert_to_tensor(2 * x)

    def compute_output_shape(self, shape):
        return shape


@pytest.mark.parametrize("part", ["walk", "adjoint"])
def test_a_rule_that_reads_more_than_it_declares_is_told(part, rng):
    def walk(step, evidence, selection):
        step.value(step.input)
        return [(step.input, evidence)]

    def adjoint(step, coefficients):
        step.value(step.output)
        return [(step.input, 2 * coefficients)], 0.0

    register_rule(Doubled, Rule(walk, adjoint, walk_reads=lambda *_: (), adjoint_reads=lambda *_: ()))
    image = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, Doubled(name="doubled")(x))
    read = "global_average_pooling2d" if part == "walk" else "doubled"
    method = "fixations" if part == "walk" else "evidence"
    with pytest.raises(TraceError, match=rf"rule of 'doubled' \(Doubled\) reads the value of '{read}\w*'"):
        trace(model, nets.images(rng, 1, model), 0, method=method)
