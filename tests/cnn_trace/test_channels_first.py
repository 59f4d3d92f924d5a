"""A channels-first model is traced like the same model with its channels last."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.plots import layer_fixations
from gazeback.cnn_trace.tracer import tracer_of

pytestmark = pytest.mark.usefixtures("eager")


def network(data_format):
    """Convolutions, pools, padding, upsampling, branches, gates and a flattened map."""
    first = data_format == "channels_first"
    axis = 1 if first else -1
    image = keras.Input((3, 12, 10) if first else (12, 10, 3), name="photo")
    x = layers.ZeroPadding2D(((1, 0), (0, 2)), data_format=data_format)(image)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", data_format=data_format, name="conv")(x)
    x = layers.BatchNormalization(axis=axis)(x)
    y = layers.SeparableConv2D(6, 3, padding="same", data_format=data_format)(x)
    x = layers.Add()([layers.Conv2D(6, 1, groups=2, data_format=data_format)(x), y])
    x = layers.Concatenate(axis=axis)(
        [x, layers.DepthwiseConv2D(3, padding="same", data_format=data_format)(x)]
    )
    x = layers.MaxPooling2D(2, data_format=data_format, name="pool")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, data_format=data_format)(x)
    x = x * layers.Conv2D(12, 1, activation="sigmoid", data_format=data_format)(gate)
    x = layers.AveragePooling2D(2, padding="same", data_format=data_format)(x)
    x = layers.Flatten(data_format=data_format)(x)
    return keras.Model(image, layers.Dense(5, activation="softmax")(layers.Dense(7, activation="relu")(x)))


@pytest.fixture
def pair(rng):
    last = nets.randomise(network("channels_last"), rng)
    first = network("channels_first")
    for ours, theirs in zip(first.weights, last.weights, strict=True):
        ours.assign(theirs)
    photos = nets.images(rng, 2, last)
    turned = np.moveaxis(photos, -1, 1)
    np.testing.assert_allclose(first(turned), last(photos), rtol=1e-4, atol=1e-5)
    return (last, photos), (first, turned)


@pytest.mark.parametrize(
    "options", [{"neurons": "all"}, {"method": "fixations"}, {"method": "fixations", "location": "argmax"}]
)
def test_same_points_weights_and_maps(pair, options):
    expected, found = (trace(*one, target=[1, 3], **options) for one in pair)
    for a, b in zip(itertools.chain(*expected), itertools.chain(*found), strict=True):
        assert a.shape == b.shape == (12, 10)
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_allclose(a.weights, b.weights, rtol=1e-3)
        np.testing.assert_array_equal(a.at("conv").coordinates, b.at("conv").coordinates)
        if a.net is not None:
            np.testing.assert_allclose(a.net, b.net, rtol=1e-3, atol=1e-6)


def _at_layers(model, photos):
    (found, _) = trace(model, photos, target=1, neurons="all")
    return {name: layer_fixations(model, found, name) for name in ("conv", "pool")}


def test_fixations_at_layers(pair):
    expected, found = (_at_layers(*one) for one in pair)
    for name in ("conv", "pool"):
        np.testing.assert_array_equal(expected[name].points, found[name].points)
        assert len(found[name])


def test_neurons_are_named_row_column_channel(pair):
    for target in ((3, 2, 5), 4, (..., 4), None):
        expected, found = (trace(*one, target=target, layer="pool", neurons="all")[0] for one in pair)
        assert len(expected)
        np.testing.assert_array_equal(expected.points, found.points)


def test_the_reference_has_the_channels_last(pair, rng):
    reference = rng.random((3, 3, 12)).astype("float32")
    expected, found = (trace(*one, target=2, reference=reference, neurons="all")[0] for one in pair)
    np.testing.assert_array_equal(expected.points, found.points)


def test_layouts_are_known(pair):
    (last, _), (first, _) = pair
    assert not any(t.channels_first for call in tracer_of(last).graph.calls for t in call.outputs)
    maps = [t for call in tracer_of(first).graph.calls for t in call.outputs if len(t.shape) == 4]
    assert maps
    assert all(t.channels_first for t in maps)
