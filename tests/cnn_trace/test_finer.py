"""Finer net maps: which maps narrow the evidence, and their product against a literal twin."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.ndimage import gaussian_filter
from twins import nets

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.fixations import resized
from gazeback.cnn_trace.head import finer_maps
from gazeback.cnn_trace.methods.evidence import FINER_BLUR
from gazeback.cnn_trace.recording import shapes_of
from gazeback.cnn_trace.tracer import tracer_of


def strided(rng):
    """Maps of 16, 8, 8, 4 and 4: strided, residual, depthwise."""
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="sixteen")(image)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="padded")(x)
    x = y = layers.Conv2D(5, 3, 2, activation="relu", name="eight")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.SeparableConv2D(6, 3, 2, padding="same", activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return nets.randomise(keras.Model(image, layers.Dense(3, name="answer")(x)), rng)


def names(model, start, most, shape=(32, 32, 3)):
    graph = tracer_of(model).graph
    found = finer_maps(graph, graph.call_of(start).outputs[0], shapes_of(graph, (shape,), 1), most)
    return [tensor.call.name for tensor in found]


def test_the_last_map_of_each_grid_but_no_padded_one(rng):
    model = strided(rng)
    assert names(model, "last", 9) == ["sum", "sixteen"]
    assert names(model, "last", 1) == ["sum"]
    assert names(model, "last", 0) == []
    assert names(model, "eight", 9) == ["sixteen"]


def test_a_map_that_some_evidence_passes_by_is_left_out(rng):
    image = keras.Input((16, 16, 3))
    half = layers.Conv2D(4, 3, 2, padding="same", name="half")(image)
    other = layers.Conv2D(4, 5, 4, padding="same", name="other")(image)
    x = layers.Concatenate(name="both")([layers.Conv2D(4, 3, 2, padding="same")(half), other])
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert names(model, "both", 9, (16, 16, 3)) == []


def test_maps_as_large_as_the_image_are_left_out(rng):
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="same")(image)
    x = layers.MaxPooling2D(2, name="pooled")(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert names(model, "pooled", 9, (16, 16, 3)) == []


def net_of(model, layer, image, target):
    """Literally: what each value of a layer adds to the answer. Between its kinks the network is linear."""
    after = keras.Model(model.get_layer(layer).output, model.output)
    before = keras.Model(model.input, model.get_layer(layer).output)
    values = np.asarray(before(image[None]))[0]
    net = np.zeros(values.shape[:2])
    for row, column, channel in np.argwhere(values != 0):
        step = np.zeros_like(values)
        step[row, column, channel] = 1e-3 * abs(values[row, column, channel])
        more, less = (np.asarray(after((values + s)[None]))[0, target] for s in (step, -step))
        slope = (float(more) - float(less)) / (2 * step[row, column, channel])
        net[row, column] += slope * values[row, column, channel]
    return np.maximum(net, 0)


@pytest.mark.parametrize(("finer", "layers", "size"), [(1, ["sum"], 8), (2, ["sum", "sixteen"], 16)])
def test_net_maps_are_multiplied_by_the_geometric_mean_of_finer_ones(rng, finer, layers, size):
    model = strided(rng)
    images = nets.images(rng, 2, model)
    coarse, fine = (trace(model, images, [0, 2], neurons="all", finer=maps) for maps in (0, finer))
    for i, target in [(i, target) for i in range(2) for target in (0, 1)]:
        first, found = coarse[i][target].net, fine[i][target].net
        if not first.any():
            continue
        expected = resized(first, (size, size))
        for layer in layers:
            net = net_of(model, layer, images[i], (0, 2)[target])
            net = gaussian_filter(net, FINER_BLUR * np.hypot(*net.shape), mode="nearest")
            expected = expected * resized(net, (size, size)) ** (1 / len(layers))
        assert found.shape == (size, size)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
        assert found.sum() == pytest.approx(expected.sum(), rel=0.05)


def test_options(rng):
    model = strided(rng)
    images = nets.images(rng, 1, model)
    with pytest.raises(TraceError, match="finer is an option of method \"evidence\", not of 'walk'"):
        trace(model, images, 0, method="walk", finer=1)
    for wrong in (-1, 9, 1.5, "two"):
        with pytest.raises(TraceError, match=f"finer must be a number of maps from 0 to 8, got {wrong!r}"):
            trace(model, images, 0, finer=wrong)
