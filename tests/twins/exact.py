"""Checks that a decomposition sums to the answer."""

import numpy as np

from gazeback.cnn_trace.head import decompose, read_by_head
from gazeback.cnn_trace.methods.walk import WeightedFixations
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.tracer import Tracer


def total(decomposition, recording, image):
    """``sum(k * map) + sum(k * others) + bias`` for every question, float64."""
    result = decomposition.bias.astype(np.float64).copy()
    for tensor, coefficients in (*decomposition.maps.items(), *decomposition.others.items()):
        products = coefficients.astype(np.float64) * recording[tensor].astype(np.float64)[image]
        result += products.reshape(len(products), -1).sum(axis=1)
    return result


def magnitude(decomposition, recording, image):
    """What float32 rounding is relative to: the sum of the absolute contributions."""
    result = np.abs(decomposition.bias).astype(np.float64)
    for tensor, coefficients in (*decomposition.maps.items(), *decomposition.others.items()):
        products = np.abs(coefficients.astype(np.float64) * recording[tensor][image])
        result += products.reshape(len(products), -1).sum(axis=1)
    return result


def assert_exact(model, images, rng, questions=3, inside=None):
    """Random coefficients on a model's output equal what comes back on its inputs, to float precision.

    Args:
        model: a functional Keras model; images: its input or list of inputs.
        rng: for the coefficients; questions: how many, spread over the images.
        inside: bool, the shape of one output: where coefficients may lie.
    """
    tracer = Tracer(model)
    graph = tracer.graph
    arrays = check_inputs(graph, images)
    target, nowhere = graph.outputs[0], frozenset()
    wanted = read_by_head(graph, target, nowhere, WeightedFixations()) | {target}
    recording = tracer.record(arrays, wanted)
    output = recording[target]
    image = np.arange(questions) % len(output)
    start = rng.normal(size=(questions, *output.shape[1:])).astype(np.float32)
    if inside is not None:
        start *= inside
    expected = (start.astype(np.float64) * output[image]).reshape(questions, -1).sum(axis=1)
    result = decompose(graph, recording, target, start, image, nowhere)
    scale = np.maximum(np.abs(start * output[image]).reshape(questions, -1).sum(axis=1), 1e-3)
    np.testing.assert_array_less(np.abs(total(result, recording, image) - expected) / scale, 1e-4)
    return result


def assert_recorded(model, inputs):
    """The opened model computes what the model computes."""
    tracer = Tracer(model)
    target = tracer.graph.outputs[0]
    found = tracer.record(check_inputs(tracer.graph, inputs), {target})[target]
    np.testing.assert_allclose(found, np.asarray(model(inputs)), rtol=1e-4, atol=1e-5)
