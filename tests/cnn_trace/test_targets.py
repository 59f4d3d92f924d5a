"""Where questions start: single neurons, whole channels, several image inputs."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.fixations import Twin

from gazeback.cnn_trace import TraceError, trace

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def model(rng):
    image = keras.Input((12, 11, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(image)
    x = layers.Conv2D(5, 3, strides=2, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)


def second_map(model, images):
    return np.asarray(keras.Model(model.input, model.get_layer("second").output)(images))


def test_a_whole_channel_starts_where_it_fires(model, rng):
    images = nets.images(rng, 2, model)
    values = second_map(model, images)
    for method in ("fixations", "evidence"):
        for image, fixations in enumerate(trace(model, images, (..., 2), layer="second", method=method)):
            start = fixations.at("second")
            fired = values[image, :, :, 2]
            assert len(start) == np.count_nonzero(fired > 0)
            assert (fired[start.coordinates[:, 0], start.coordinates[:, 1]] > 0).all()
            assert (start.coordinates[:, 2] == 2).all()
            if method == "evidence":
                np.testing.assert_allclose(
                    start.weights,
                    fired[tuple(start.coordinates[:, :2].T)] / fired[fired > 0].sum(),
                    rtol=1e-5,
                )


def test_a_whole_channel_is_the_union_of_its_neurons(model, rng):
    images = nets.images(rng, 1, model)
    found = trace(model, images, (..., 1), layer="second", method="fixations")[0]
    twin = Twin(model, images[0])
    values = second_map(model, images)[0]
    start = {((y, x, 1), 1): 1.0 for y, x in np.argwhere(values[:, :, 1] > 0)}
    expected = twin.points(twin.walk({model.get_layer("second").output: start}))
    assert set(map(tuple, found.points.tolist())) == set(expected)


def test_a_whole_channel_by_the_head(model, rng):
    """Handed off below: the channel's sum over all places is decomposed."""
    images = nets.images(rng, 1, model)
    found = trace(model, images, (..., 1), layer="second", handoff="first")[0]
    assert found.net.shape == (10, 9)
    assert found.weights.sum() == pytest.approx(1)


def test_a_channel_that_fires_nowhere_has_no_points(model, rng):
    model.get_layer("second").bias.assign(np.full(5, -100, "float32"))
    found = trace(model, nets.images(rng, 1, model), (..., 0), layer="second")[0]
    assert len(found) == 0


@pytest.mark.parametrize("target", [(..., 5), (..., -1), (0, 0, 5), (9, 0, 0), (0, 0)])
def test_targets_out_of_range(model, rng, target):
    with pytest.raises(TraceError, match="is out of range: 'second' has the shape"):
        trace(model, nets.images(rng, 1, model), target, layer="second")


@pytest.mark.parametrize("target", [True, 1.0, "dog", (0, "a", 1)])
def test_targets_of_a_wrong_kind(model, rng, target):
    with pytest.raises(TraceError, match="a target is an int, a tuple of ints or None, got"):
        trace(model, nets.images(rng, 1, model), target, layer="second")


@pytest.fixture
def siamese(rng):
    left, right = keras.Input((9, 9, 3), name="left"), keras.Input((12, 10, 3), name="right")
    shared = layers.Conv2D(4, 3, activation="relu", name="shared")
    pooled = [layers.GlobalAveragePooling2D()(shared(x)) for x in (left, right)]
    x = layers.Concatenate()(pooled)
    model = nets.randomise(keras.Model({"left": left, "right": right}, layers.Dense(3)(x)), rng)
    return model, {"left": rng.normal(size=(2, 9, 9, 3)), "right": rng.normal(size=(2, 12, 10, 3))}


def test_evidence_on_every_image_input(siamese):
    model, images = siamese
    for fixations in trace(model, images, 1):
        left, right = fixations.at_input("left"), fixations.at_input("right")
        assert (left.shape, right.shape) == ((9, 9), (12, 10))
        np.testing.assert_array_equal(left.points, fixations.points)
        assert left.weights.sum() + right.weights.sum() == pytest.approx(1)
        assert left.net.shape == (7, 7)
        assert right.net.shape == (10, 8)
        # the share of an input is its share of what both nets hold
        assert len(left) > 0
        assert len(right) > 0
    with pytest.raises(TraceError, match=r"has the image inputs \['left', 'right'\], got 'middle'"):
        fixations.at_input("middle")


def test_the_input_that_decides_has_the_evidence(siamese):
    """The class reads one branch alone: all weight lies on its picture."""
    model, images = siamese
    kernel = np.zeros((8, 3), "float32")
    kernel[4:] = 1
    model.layers[-1].kernel.assign(kernel)
    for fixations in trace(model, images, 0):
        assert len(fixations.at_input("left")) == 0
        assert fixations.at_input("right").weights.sum() == pytest.approx(1)
