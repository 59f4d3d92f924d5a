"""The spread: contributors in proportion, against a slow twin, and what must hold for every network."""

import math

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.methods.spread import Spread, _Draws, _draws, drawn, supporting, systematic, uniform

pytestmark = pytest.mark.usefixtures("eager")

BUILDS = [nets.plain, nets.depthwise, nets.residual, nets.inception, nets.negative_scales]


def literal_spread(kernel, values, stride, arriving):
    """``r_i += r_j * z_ij / sum z_ij`` of a convolution without padding that makes positive neurons."""
    below = np.zeros(values.shape)
    size, _, width, _filters = kernel.shape
    for y, x, c in np.ndindex(arriving.shape):
        z = {}
        for dy, dx, i in np.ndindex(size, size, width):
            place = (y * stride + dy, x * stride + dx, i)
            product = float(values[place]) * float(kernel[dy, dx, i, c])
            if product > 0:
                z[place] = product
        for place, product in z.items():
            below[place] += arriving[y, x, c] * product / sum(z.values())
    return below


@pytest.mark.parametrize("stride", [1, 2])
def test_two_convolutions_equal_the_twin(stride, rng):
    image = keras.Input((9, 9, 2))
    x = layers.Conv2D(3, 3, stride, use_bias=False, activation="relu", name="first")(image)
    model = nets.randomise(keras.Model(image, layers.Conv2D(4, 3, use_bias=False, name="last")(x)), rng)
    pixels = nets.images(rng, 1, model)
    hidden, maps = (
        np.asarray(keras.Model(image, model.get_layer(name).output)(pixels))[0] for name in ("first", "last")
    )
    y, x, c = np.unravel_index(maps.argmax(), maps.shape)
    start = np.zeros(maps.shape)
    start[y, x, c] = 1
    kernels = [np.asarray(model.get_layer(name).kernel) for name in ("first", "last")]
    expected = literal_spread(kernels[0], pixels[0], stride, literal_spread(kernels[1], hidden, 1, start))
    (found,) = trace(model, pixels, (int(y), int(x), int(c)), "last", method="evidence", neurons="all")
    heat = np.zeros((9, 9))
    pixels, weights = found.pixels
    heat[tuple(pixels.T)] = weights
    np.testing.assert_allclose(heat, expected.sum(axis=-1), atol=1e-6)


@pytest.mark.parametrize("neurons", ["all", 40])
@pytest.mark.parametrize("build", BUILDS)
def test_weights_of_every_question_sum_to_1(build, neurons, rng):
    model = nets.randomise(build(rng), rng)
    pixels = nets.images(rng, 2, model)
    for questions in trace(model, pixels, [0, 1, 2], method="evidence", neurons=neurons):
        for fixations in questions:
            if len(fixations):
                assert fixations.weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("build", BUILDS)
def test_an_image_is_traced_alike_alone_and_in_a_batch(build, rng):
    model = nets.randomise(build(rng), rng)
    pixels = nets.images(rng, 3, model)
    together = trace(model, pixels, 1, method="evidence", neurons=50)
    for image, fixations in zip(pixels, together, strict=True):
        (alone,) = trace(model, image[None], 1, method="evidence", neurons=50)
        for found, expected in zip(alone.pixels, fixations.pixels, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_drawn_contributors_come_close_to_all_of_them(rng, monkeypatch):
    def draws(selection, neurons, weights, step):  # also where there are fewer inputs than draws
        shape = step.shape(step.output)
        places = np.ravel_multi_index(tuple(neurons.T), shape)
        return _draws(20000, places, math.prod(shape[1:]), weights, step.call.name)

    monkeypatch.setattr(Spread, "_draws", draws)
    model = nets.randomise(nets.plain(rng), rng)
    pixels = nets.images(rng, 1, model)
    (sampled,) = trace(model, pixels, 1, method="evidence")
    monkeypatch.undo()
    (exact,) = trace(model, pixels, 1, method="evidence", neurons="all")
    heat = np.zeros((2, *exact.shape))
    for one, fixations in zip(heat, (exact, sampled), strict=True):
        places, weights = fixations.pixels
        one[tuple(places.T)] = weights
    assert np.abs(heat[0] - heat[1]).sum() < 0.1


def test_a_copy_of_one_pixel_puts_all_weight_there(rng):
    image = keras.Input((8, 8, 2))
    x = layers.Conv2D(2, 3, padding="same", use_bias=False, name="copy")(image)
    model = keras.Model(image, layers.Conv2D(1, 3, padding="same", use_bias=False, name="last")(x))
    for layer in model.layers[1:]:
        kernel = np.zeros(layer.kernel.shape, "float32")
        kernel[0, 2, 0, 0] = -1
        layer.kernel.assign(kernel)
    pixels = nets.images(rng, 1, model)
    for neurons in ("all", 10):
        (found,) = trace(model, pixels, (4, 3, 0), "last", method="evidence", neurons=neurons)
        assert found.points.tolist() == [[2, 5]]
        assert found.weights == pytest.approx([1])


def test_nothing_lies_outside_the_receptive_field(rng):
    image = keras.Input((20, 20, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    model = nets.randomise(keras.Model(image, layers.Conv2D(4, 5, padding="same", name="last")(x)), rng)
    (found,) = trace(model, nets.images(rng, 1, model), (10, 1, 2), "last", method="evidence", neurons="all")
    assert (np.abs(found.pixels[0] - [10, 1]) <= 3).all()


def test_a_neuron_without_support_is_shared_by_magnitude():
    products = np.array([[1.0, -2.0, 3.0], [-1.0, -3.0, 0.0], [0.0, 0.0, 0.0]])
    inside = np.array([[True] * 3, [True] * 3, [True, False, True]])
    assert supporting(products, inside.__getitem__).tolist() == [[1, 0, 3], [1, 3, 0], [1, 0, 1]]


def test_draws_follow_the_shares(rng):
    support = np.maximum(rng.normal(size=(3, 200)), 0).astype("float32")
    fraction = (np.arange(20000) + 0.5) / 20000
    for row in range(3):
        columns = drawn(support, np.full(20000, row), fraction)
        share = np.bincount(columns, minlength=200) / 20000
        np.testing.assert_allclose(share, support[row] / support[row].sum(), atol=1e-4)
    assert systematic(np.array([0.5, 0.3, 0.2]), 10).tolist() == [5, 3, 2]
    offsets = uniform(np.arange(2500), "conv")
    assert offsets.min() >= 0
    assert offsets.max() < 1
    assert offsets.mean() == pytest.approx(0.5, abs=0.03)


def test_neurons_that_are_not_drawn_pass_nothing_on():
    draws = _Draws(np.ones((4, 2)), np.array([0, 0, 3, 1]), np.full(4, 0.5))
    support = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    for rows in draws.among(slice(0, 2), support):
        assert len(rows) == 0
    rows, columns, weights = draws.among(slice(2, 4), support)
    assert rows.tolist() == [0, 0, 1]
    assert columns.tolist() == [0, 2, 1]
    assert weights.tolist() == [[1, 1], [2, 2], [1, 1]]


def test_the_number_of_neurons_is_checked():
    with pytest.raises(TraceError, match='neurons must be 1 or more, or "all", got 0'):
        Spread(neurons=0)
