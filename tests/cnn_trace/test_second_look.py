"""The second look, on networks whose larger maps can be computed by hand."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.fixations import resized

pytestmark = pytest.mark.usefixtures("eager")


def pooled(rng, head=None):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="last")(image)
    x = (head or layers.GlobalAveragePooling2D())(x)
    return nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)


def test_the_net_map_is_that_of_both_sizes(rng):
    model = pooled(rng)
    images = nets.images(rng, 2, model)
    one, two = (trace(model, images, [0, 2], looks=looks, neurons="all", finer=0) for looks in (1, 2))
    weights = np.asarray(model.layers[-1].kernel)
    encoder = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3, 2, "same", activation="relu")]
    )
    encoder.layers[0].set_weights(model.get_layer("last").get_weights())
    closer = np.stack([np.stack([resized(c - c.min(), (16, 16)) + c.min() for c in x.transpose(2, 0, 1)], -1)
                       for x in images])  # fmt: skip
    maps = np.asarray(encoder(closer))
    for i in range(2):
        for question, target in enumerate((0, 2)):
            found, first = two[i][question], one[i][question]
            net = np.maximum(maps[i] @ weights[:, target] / maps[i].shape[0] / maps[i].shape[1], 0)
            if first.net.any() and net.any():
                expected = resized(first.net, (8, 8)) * net**0.5
                np.testing.assert_allclose(found.net, expected, rtol=1e-3, atol=1e-5)
            assert found.weights.sum() == pytest.approx(1 if len(found) else 0)
            assert found.shape == (8, 8)


def test_a_head_that_weighs_locations_has_one_look(rng):
    model = pooled(rng, layers.Flatten())
    with pytest.raises(TraceError, match=r"looks=2 needs a model that averages its last map.*use looks=1"):
        trace(model, nets.images(rng, 1, model), 1, looks=2)


def test_a_trunk_of_one_size_has_one_look(rng):
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((8, 8, 3))(layers.Conv2D(3, 3, padding="same")(image))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
    model = nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)
    with pytest.raises(
        TraceError, match=r"looks=2: model .* cannot read images of twice the size .*use looks=1"
    ):
        trace(model, nets.images(rng, 1, model), 1, looks=2)


def test_looks_are_one_or_two(rng):
    model = pooled(rng)
    for options in ({"looks": 3}, {"looks": 2, "method": "walk"}):
        with pytest.raises(TraceError, match='looks must be 1, or 2 with method "evidence"'):
            trace(model, nets.images(rng, 1, model), 1, **options)
    with pytest.raises(TraceError, match="a neuron of a map is explained with looks=1"):
        trace(model, nets.images(rng, 1, model), 1, "last", looks=2)
