"""One layer or operator in a small random model: its adjoint is exact, its walk equals the literal twin."""

import keras
import numpy as np
from twins import nets
from twins.exact import assert_exact
from twins.fixations import Twin

from gazeback.cnn_trace import trace


def model_of(function, shape, seed):
    """A random model of a function of a Keras tensor, and two random images for it."""
    rng = np.random.default_rng(seed)
    image = keras.Input(shape)
    model = nets.randomise(keras.Model(image, function(image)), rng)
    return model, nets.images(rng, 2, model), rng


def check(function, shape, seed=0, walk=True, neurons=4):
    """The adjoint is exact, and some random neurons walk back to where the literal twin says."""
    model, images, rng = model_of(function, shape, seed)
    assert_exact(model, images, rng)
    if walk:
        for location in ("same", "argmax"):
            check_walk(model, images[:1], rng, neurons, location)


def check_walk(model, image, rng, neurons, location):
    twin = Twin(model, image[0], location=location)
    output = model.outputs[0]
    for _ in range(neurons):
        neuron = tuple(int(rng.integers(size)) for size in twin.shapes[id(output)])
        traced = trace(model, image, neuron, method="fixations", location=location)[0]
        found = twin.walk({output: {(neuron, 1): 1.0}})
        assert set(map(tuple, traced.points.tolist())) == set(twin.points(found)), neuron
