"""What a user did wrong is said in one line: what was expected, what came."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets

from gazeback.cnn_trace import MissingRule, TraceError, trace

pytestmark = pytest.mark.usefixtures("eager")
WALK = {"method": "walk"}
IMAGE = np.zeros((1, 8, 8, 3), "float32")


@pytest.fixture(scope="module")
def model():
    return nets.one_by_one(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((IMAGE, 3), {}, r"target 3 is out of range: 'conv2d\w*' has the shape|target 3 is out of range"),
        ((IMAGE, -1), {}, r"target -1 is out of range"),
        ((IMAGE, (1, 2)), {}, r"target \(1, 2\) is out of range"),
        ((IMAGE, 1.5), {}, r"a target is an int, a tuple of ints or None, got 1.5"),
        ((IMAGE, "cat"), {}, r"a target is an int, a tuple of ints or None, got 'cat'"),
        ((IMAGE, []), {}, r"the list of targets is empty"),
        ((IMAGE, np.array([0, 1])), {}, r"one class index per image \(int \[1\]\), got int64 \[2\]"),
        ((IMAGE, np.array([0.5])), {}, r"one class index per image \(int \[1\]\), got float64 \[1\]"),
        ((IMAGE, 0), {"method": "gradcam"}, r"unknown method 'gradcam'; choose one of evidence, fixations"),
        ((IMAGE, 0), WALK | {"share": 0}, r"share must be above 0 and at most 1, got 0"),
        ((IMAGE, 0), WALK | {"share": 1.1}, r"share must be above 0 and at most 1, got 1.1"),
        ((IMAGE, 0), WALK | {"share": np.nan}, r"share must be above 0 and at most 1, got nan"),
        (
            (IMAGE, 0),
            WALK | {"location": "corner"},
            r"location must be one of 'same', 'argmax', got 'corner'",
        ),
        (
            (IMAGE, 0),
            WALK | {"fc_to_spatial": "x"},
            r"fc_to_spatial must be one of 'argmax', 'all', got 'x'",
        ),
        (
            (IMAGE, 0),
            {"reference": np.zeros(7)},
            r"reference must have the shape \[4\] or \[4, 4, 4\] .* got \[7\]",
        ),
        ((IMAGE[:, :5], 0), {}, r"has the shape \[n, 8, 8, 3\], got \[1, 5, 8, 3\]; resize the image"),
        ((IMAGE[..., :1], 0), {}, r"has the shape \[n, 8, 8, 3\], got \[1, 8, 8, 1\]"),
        ((np.zeros((0, 8, 8, 3)), 0), {}, r"is empty: shape \[0, 8, 8, 3\]"),
        ((IMAGE * np.nan, 0), {}, r"holds NaN or infinite values"),
        ((None, 0), {}, r"has the shape \[n, 8, 8, 3\], got \[\]"),
        (([IMAGE, IMAGE], 0), {}, r"has the shape \[n, 8, 8, 3\], got \[2, 1, 8, 8, 3\]"),
        (({"photo": IMAGE}, 0), {}, r"needs the inputs \['keras_tensor\w*'\]; missing"),
    ],
)
def test_bad_arguments(model, arguments, options, message):
    with pytest.raises(TraceError, match=message):
        trace(model, *arguments, **options)


def test_an_unknown_layer_lists_close_names(rng):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 3, name="block4_conv1")(image), name="net")
    with pytest.raises(
        TraceError, match=r"model 'net' has no layer 'block4_conv'; close names: block4_conv1"
    ):
        trace(model, IMAGE, 0, layer="block4_conv")
    with pytest.raises(TraceError, match="model 'net' has no layer 'nothing'; close names: block4_conv1"):
        trace(model, IMAGE, 0, handoff="nothing")


def test_a_layer_that_the_walk_does_not_pass(rng):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, name="early")(image)
    model = nets.randomise(keras.Model(image, layers.Conv2D(2, 3, name="late")(x)), rng)
    images = rng.normal(size=(1, 8, 8, 3))
    found = trace(model, images, 0, layer="early")[0]
    with pytest.raises(TraceError, match="the walk did not pass layer 'late'"):
        found.at("late")


class Strange(layers.Layer):
    def call(self, x):
        return ops.sort(x, axis=1)


@pytest.mark.parametrize("method", ["evidence", "fixations"])
@pytest.mark.parametrize("place", ["head", "trunk"])
def test_a_layer_without_a_rule_is_named(place, method):
    image = keras.Input((8, 8, 3))
    x = Strange(name="odd")(image) if place == "trunk" else layers.Conv2D(2, 3)(image)
    x = layers.GlobalAveragePooling2D()(x)
    x = Strange(name="odd")(x) if place == "head" else x
    with pytest.raises(MissingRule) as found:
        trace(keras.Model(image, layers.Dense(2)(x)), IMAGE, 0, method=method)
    assert "layer 'odd' of class Strange" in str(found.value)
    assert "gazeback.cnn_trace.register_rule(Strange, Rule(walk=..., adjoint=...))" in str(found.value)


def test_no_image_input():
    vector = keras.Input((5,), name="vector")
    model = keras.Model(vector, layers.Dense(3)(vector), name="plain")
    with pytest.raises(
        TraceError, match=r"model 'plain' has no image input .* its inputs are \[\[None, 5\]\]"
    ):
        trace(model, np.zeros((1, 5)), 0)


def test_a_target_that_sees_no_image():
    image, words = keras.Input((8, 8, 3)), keras.Input((4,))
    text = layers.Dense(3, name="text")(words)
    model = keras.Model([image, words], layers.Concatenate()([layers.GlobalMaxPooling2D()(image), text]))
    for method in ("evidence", "fixations"):
        with pytest.raises(TraceError, match="'text' does not depend on an image"):
            trace(model, [IMAGE, np.zeros((1, 4))], 0, layer="text", method=method)


def test_an_unbuilt_model():
    class Unbuilt(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(
        TraceError, match="model 'young' is not built, so its layers are unknown: call it once"
    ):
        trace(Unbuilt(name="young"), IMAGE, 0)
    with pytest.raises(TraceError, match="is not built"):
        trace(keras.Sequential([layers.Dense(2)]), IMAGE, 0)


def test_a_model_whose_call_is_no_keras_graph():
    class Foreign(keras.Model):
        def call(self, x):
            return np.asarray(x).sum(axis=(1, 2))

    model = Foreign(name="foreign")
    model(IMAGE)
    with pytest.raises(TraceError, match="the call of model 'foreign' does not run on symbolic tensors"):
        trace(model, IMAGE, 0)


def test_no_model():
    with pytest.raises(TraceError, match=r"expected a keras\.Model, got str"):
        trace("vgg16", IMAGE, 0)


def test_weights_that_are_not_finite(rng):
    model = nets.one_by_one(rng)
    model.layers[1].bias.assign(np.full(4, np.nan, "float32"))
    for target in (None, 0, (0,), [0, 1]):
        for method in ("evidence", "fixations"):
            with pytest.raises(TraceError, match="holds NaN or infinite values for this input"):
                trace(model, IMAGE, target, method=method)


def test_different_batch_sizes():
    image, words = keras.Input((8, 8, 3)), keras.Input((4,))
    model = keras.Model([image, words], layers.Concatenate()([layers.Flatten()(image), words]))
    with pytest.raises(TraceError, match=r"the inputs have different batch sizes: \[1, 2\]"):
        trace(model, [IMAGE, np.zeros((2, 4))], 0)
    with pytest.raises(TraceError, match=r"has 2 inputs .* got 1"):
        trace(model, [IMAGE], 0)
