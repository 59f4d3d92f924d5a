"""Every adjoint is exact: ``sum(k * output) == sum(below * input) + bias``, nonlinearities frozen."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact

from gazeback.cnn_trace import TraceError, trace

pytestmark = pytest.mark.usefixtures("eager")

few = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
sides = st.integers(1, 5)
steps = st.integers(1, 3)
seeds = st.integers(0, 10**6)
padding = st.sampled_from(["same", "valid"])
sizes = st.tuples(st.integers(5, 9), st.integers(5, 9))


def exact(function, shape, seed, n=2, **check):
    """A function of a Keras tensor (a layer, an operator) on random images of this shape."""
    rng = np.random.default_rng(seed)
    image = keras.Input(shape)
    model = nets.randomise(keras.Model(image, function(image)), rng)
    return assert_exact(model, nets.images(rng, n, model), rng, **check)


@few
@given(
    sizes,
    st.tuples(sides, sides),
    st.tuples(steps, steps),
    padding,
    st.sampled_from([1, 2]),
    st.booleans(),
    seeds,
)
def test_convolution(size, kernel, strides, pad, groups, use_bias, seed):
    layer = layers.Conv2D(4, kernel, strides=strides, padding=pad, groups=groups, use_bias=use_bias)
    exact(layer, (*size, 4), seed)


@few
@given(st.integers(1, 3), st.integers(1, 3), padding, seeds)
def test_dilated_convolution_with_a_fused_activation(down, across, pad, seed):
    activation = ["relu", "tanh", "silu", "sigmoid"][seed % 4]
    layer = layers.Conv2D(3, (3, 2), dilation_rate=(down, across), padding=pad, activation=activation)
    exact(layer, (8, 9, 2), seed)


@few
@given(sizes, sides, steps, padding, st.integers(1, 3), st.booleans(), seeds)
def test_depthwise_convolution(size, kernel, stride, pad, multiplier, use_bias, seed):
    layer = layers.DepthwiseConv2D(
        kernel, strides=stride, padding=pad, depth_multiplier=multiplier, use_bias=use_bias
    )
    exact(layer, (*size, 3), seed)


@few
@given(sizes, st.tuples(sides, sides), st.tuples(steps, steps), padding, st.booleans(), seeds)
def test_pools(size, pool, strides, pad, largest, seed):
    kind = layers.MaxPooling2D if largest else layers.AveragePooling2D
    exact(kind(pool, strides=strides, padding=pad), (*size, 2), seed)


@few
@given(sizes, st.booleans(), st.booleans(), seeds)
def test_global_pools(size, largest, keepdims, seed):
    kind = layers.GlobalMaxPooling2D if largest else layers.GlobalAveragePooling2D
    exact(kind(keepdims=keepdims), (*size, 3), seed)


@few
@given(st.sampled_from([(1, 2), (1,), (2, 3), (-1,)]), st.booleans(), st.booleans(), seeds)
def test_mean_and_max_operators(axes, largest, keepdims, seed):
    reduce = ops.max if largest else ops.mean
    exact(lambda x: reduce(x, axis=axes, keepdims=keepdims), (4, 5, 3), seed)


@few
@given(st.sampled_from([(12,), (3, 4), (2, 2, 3)]), st.booleans(), seeds)
def test_dense_on_any_rank(shape, use_bias, seed):
    exact(lambda x: layers.Dense(5, use_bias=use_bias)(layers.Reshape(shape)(x)), (2, 2, 3), seed)


def test_dense_with_one_coefficient_of_either_sign(rng):
    for value in (1.0, -2.0):
        inside = np.zeros(4, np.float32)
        inside[2] = value
        result = exact(lambda x: layers.Dense(4)(layers.Flatten()(x)), (2, 3, 2), 3, inside=inside)
        assert all(np.abs(k).sum() > 0 for k in result.maps.values())


@few
@given(st.booleans(), st.booleans(), st.sampled_from([-1, 1, 2]), seeds)
def test_batch_normalisation(center, scale, axis, seed):
    exact(layers.BatchNormalization(axis=axis, center=center, scale=scale), (4, 5, 3), seed)


def test_batch_normalisation_of_vectors(rng):
    exact(lambda x: layers.BatchNormalization()(layers.Flatten()(x)), (2, 3, 2), 0)


@pytest.mark.parametrize("axis", [-1, (1, 3), None])
@pytest.mark.parametrize("invert", [False, True])
def test_normalization(axis, invert, rng):
    layer = layers.Normalization(axis=axis, invert=invert)
    layer.adapt(rng.normal(2, 3, size=(20, 4, 5, 3)))
    image = keras.Input((4, 5, 3))
    assert_exact(keras.Model(image, layer(image)), rng.normal(size=(2, 4, 5, 3)), rng)


@pytest.mark.parametrize("scale", [-0.5, [1.0, -2.0, 3.0]])
def test_rescaling(scale):
    exact(layers.Rescaling(scale, offset=[0.1, 0.2, -0.3]), (4, 5, 3), 0)
    exact(layers.Rescaling(scale, offset=-1.0), (4, 5, 3), 1)


ACTIVATIONS = (
    "relu relu6 tanh sigmoid silu gelu elu selu softplus softsign hard_sigmoid leaky_relu exponential linear"
)


@pytest.mark.parametrize("name", ACTIVATIONS.split())
def test_activation(name):
    exact(layers.Activation(name), (3, 4, 3), 0)
    exact(layers.Dense(4, activation=name), (2, 3, 3), 1)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2),
        lambda: layers.LeakyReLU(0.2),
        lambda: layers.PReLU(shared_axes=[1, 2]),
        lambda: layers.PReLU(),
        lambda: layers.ELU(),
        lambda: layers.Dropout(0.5),
        lambda: layers.SpatialDropout2D(0.5),
        lambda: layers.GaussianNoise(0.5),
        lambda: layers.Identity(),
        lambda: layers.ZeroPadding2D(((1, 2), (0, 3))),
        lambda: layers.Cropping2D(((1, 2), (0, 3))),
        lambda: layers.UpSampling2D((2, 3)),
        lambda: layers.Permute((3, 1, 2)),
        lambda: layers.Reshape((-1, 2)),
        lambda: layers.Flatten(),
    ],
)
def test_layers_that_move_or_squash(layer):
    exact(layer(), (5, 6, 2), 0)


CONSTANT = np.array([1.0, -2.0, 0.5], "float32")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 0.5,
        lambda x: 0.5 + x,
        lambda x: x + CONSTANT,
        lambda x: x - 0.5,
        lambda x: 0.5 - x,
        lambda x: ops.subtract(CONSTANT, x),
        lambda x: x * -2.0,
        lambda x: x * CONSTANT,
        lambda x: ops.multiply(CONSTANT, x),
        lambda x: 3.0 * x,
        lambda x: x / CONSTANT,
        lambda x: -x,
        lambda x: x + x,
        lambda x: x + x * 2.0,
        lambda x: x - ops.relu(x),
        lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True),
        lambda x: layers.Subtract()([x, x * 0.3]),
        lambda x: layers.Add()([x, x * 0.3, ops.tanh(x)]),
        lambda x: x + ops.mean(x, axis=-1, keepdims=True),
        lambda x: ops.concatenate([x, x * 2.0], axis=2),
        lambda x: layers.Concatenate(axis=1)([x, x * 2.0, x]),
        lambda x: ops.expand_dims(x, 2),
        lambda x: ops.squeeze(ops.max(x, axis=1, keepdims=True), 1),
        lambda x: ops.reshape(x, (-1, 6, 10)),
        lambda x: ops.transpose(x, (0, 3, 1, 2)),
        lambda x: x[:, 1:, ::2],
        lambda x: x[:, 0],
        lambda x: x[..., -1],
        lambda x: layers.RepeatVector(3)(layers.Flatten()(x)),
        lambda x: ops.sigmoid(ops.relu6(x)),
        lambda x: ops.silu(x),
        lambda x: ops.leaky_relu(x),
        lambda x: layers.Dense(2, activation=layers.LeakyReLU(0.3))(x),
    ],
)
def test_operators(function):
    exact(function, (4, 5, 3), 0)


def test_ties_of_a_maximum_have_one_owner(rng):
    image = keras.Input((4, 4, 2))
    for function in (layers.MaxPooling2D(3, strides=1), layers.GlobalMaxPooling2D()):
        assert_exact(keras.Model(image, function(image)), np.ones((1, 4, 4, 2)), rng)


def test_an_activation_of_zero_hands_nothing_on(rng):
    image = keras.Input((2, 2, 1))
    for name in ("tanh", "sigmoid", "silu"):
        assert_exact(keras.Model(image, layers.Activation(name)(image)), np.zeros((1, 2, 2, 1)), rng)


def test_a_softmax_inside_the_head_is_refused():
    with pytest.raises(TraceError, match="a softmax inside the head is not elementwise"):
        exact(lambda x: layers.Dense(2)(layers.Softmax()(layers.Flatten()(x))), (2, 3, 2), 0)


def test_a_product_of_two_tensors_is_shared_evenly():
    exact(lambda x: x * ops.relu(x), (2, 3, 2), 0)


@pytest.mark.parametrize("fused", [False, True])
def test_a_softmax_that_is_cut_afterwards_explains_the_logit(fused, rng):
    """As if the logits had been cut, and the softmax taken of what is left."""
    image = keras.Input((6, 6, 3))
    x = layers.Reshape((4, 9))(layers.Conv2D(4, 2, strides=2, name="last")(image))
    dense = layers.Dense(3)
    cut = keras.Model(image, layers.Softmax()(dense(x)[:, -1]))
    if fused:
        whole = layers.Dense(3, activation="softmax")
        after = keras.Model(image, whole(x)[:, -1])
    else:
        after = keras.Model(image, layers.Softmax()(dense(x))[:, -1])
    nets.randomise(cut, rng)
    if fused:
        whole.set_weights(dense.get_weights())
    images = nets.images(rng, 1, cut)
    for method in ("evidence", "fixations"):
        one, two = (trace(model, images, 1, method=method)[0] for model in (cut, after))
        np.testing.assert_array_equal(one.points, two.points)
        np.testing.assert_allclose(one.weights, two.weights, rtol=1e-4)
