"""The methods "top" and "discernible" against literal twins, and their options."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.variants import DiscernibleTwin, TopTwin

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.methods.top import TopContributors
from gazeback.cnn_trace.neurons import union

pytestmark = pytest.mark.usefixtures("eager")
NETWORKS = [
    "plain",
    "rectangular",
    "depthwise",
    "pools",
    "inception",
    "residual",
    "dense_block",
    "negative_scales",
]


def small(name, rng):
    """A network of the twins' family with a random input; the softmax off."""
    model = nets.randomise(nets.FLAT[name](rng), rng)
    return model, nets.images(rng, 2, model)


def logits(model):
    output = model.outputs[0]
    node = output._keras_history.operation._inbound_nodes[0]
    return node.input_tensors[0] if "activation" in node.operation.name else output


def found_by(twin, model, target):
    start = twin.walk({logits(model): {((target,), 1): 1.0}})
    return set(twin.points(start))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("top", [1, 4])
def test_top_equals_its_literal_twin(name, top):
    rng = np.random.default_rng(len(name) + top)
    model, images = small(name, rng)
    traced = trace(model, images, [0, 2], method="top", top=top)
    for image, by_target in zip(images, traced, strict=True):
        for target, fixations in zip((0, 2), by_target, strict=True):
            assert set(map(tuple, fixations.points.tolist())) == found_by(
                TopTwin(model, image, top), model, target
            )
            assert (fixations.weights == 1).all()


def literal_window(self, fan, evidence):
    """Neuron by neuron and channel by channel: what supports it, and where most."""
    parts = [evidence.take(slice(0, 0)).moved(np.zeros(0, np.int64), fan.shape)]
    for row in range(len(fan)):
        one = fan.take(np.array([row]))
        for channel in np.flatnonzero(one.sums(slice(0, 1))[0] > 0):
            element = one.strongest_place(np.array([channel]))
            parts.append(evidence.take(np.array([row])).moved(element, fan.shape))
    return union(parts, fan.shape, once=True)


KINDS = {
    "convolution": lambda: layers.Conv2D(6, 3, strides=2, padding="same"),
    "dilated": lambda: layers.Conv2D(6, 3, dilation_rate=2),
    "grouped": lambda: layers.Conv2D(6, 3, groups=2, padding="same"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    "separable": lambda: layers.SeparableConv2D(6, 3, strides=2, depth_multiplier=2, padding="same"),
    "transposed": lambda: layers.Conv2DTranspose(6, 3, strides=2),
    "dense": lambda: layers.Dense(6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_top_passes_every_kind_of_convolution(kind, monkeypatch):
    """Also where a low value is sought, below a negative gamma."""
    rng = np.random.default_rng(len(kind))
    image = keras.Input((9, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.BatchNormalization()(KINDS[kind]()(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)
    images = nets.images(rng, 2, model)
    found = trace(model, images, [0, 1], method="top")
    monkeypatch.setattr(TopContributors, "window", literal_window)
    for of_image, expected in zip(found, trace(model, images, [0, 1], method="top"), strict=True):
        for fixations, literal in zip(of_image, expected, strict=True):
            assert len(fixations) > 0
            assert fixations.points.tolist() == literal.points.tolist()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("top_k", "alphas"), [(1, (1, 1, 1)), (2, (0.5, 0.2, 2.0)), (3, (1, 1, 0))])
def test_discernible_equals_its_literal_twin(name, top_k, alphas):
    rng = np.random.default_rng(len(name) + top_k)
    model, images = small(name, rng)
    traced = trace(model, images, [0, 2], method="discernible", top_k=top_k, alphas=alphas)
    for image, by_target in zip(images, traced, strict=True):
        for target, fixations in zip((0, 2), by_target, strict=True):
            twin = DiscernibleTwin(model, image, top_k, alphas)
            assert set(map(tuple, fixations.points.tolist())) == found_by(twin, model, target)


@pytest.mark.parametrize("method", ["top", "discernible"])
def test_questions_do_not_mix(method, rng):
    model, images = small("inception", rng)
    together = trace(model, images, [0, 1, 2], method=method)
    for i, target in enumerate([0, 1, 2]):
        for alone, among in zip(trace(model, images, target, method=method), together, strict=True):
            np.testing.assert_array_equal(alone.points, among[i].points)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "top", "top": 0}, "top must be 1 or more, got 0"),
        ({"method": "top", "location": "same"}, "method 'top' has no option 'location'; it takes top"),
        ({"method": "discernible", "top_k": 0}, "top_k must be 1 or more, got 0"),
        ({"method": "discernible", "alphas": (0, 1, 1)}, "alphas must be three numbers"),
        ({"method": "discernible", "alphas": (1, -1, 1)}, "alphas must be three numbers"),
        ({"method": "fixations", "top": 3}, "method 'fixations' has no option 'top'"),
        ({"method": "best"}, "unknown method 'best'; choose one of evidence, fixations, top, discernible"),
    ],
)
def test_bad_options(options, message):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(image)))
    with pytest.raises(TraceError, match=message):
        trace(model, np.zeros((1, 8, 8, 3)), 0, **options)
