"""Which neurons a target names, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace import TraceError, trace
from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query
from gazeback.models.errors import UserError


def two_outputs():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D()(x)
    first = layers.Dense(3, activation="softmax", name="first")(x)
    return keras.Model(image, [first, layers.Dense(1, activation="sigmoid", name="second")(x)])


def neurons(model, images, target=None, **where):
    return ask(Query.of(model, images, target, **where)).neurons.tolist()


@pytest.fixture
def asked(rng):
    model = nets.randomise(two_outputs(), rng)
    return model, nets.images(rng, 3, model)


def test_targets_name_the_neurons_that_a_trace_starts_on(asked):
    model, images = asked
    probabilities, second = map(np.asarray, model(images))
    assert neurons(model, images) == [[i] for i in probabilities.argmax(axis=1)]
    assert neurons(model, images, 2) == [[2]] * 3
    assert neurons(model, images, (1,)) == [[1]] * 3
    assert neurons(model, images, np.array([2, 0, 1])) == [[2], [0], [1]]
    assert neurons(model, images, output=1) == [[0]] * 3
    assert second.shape == (3, 1)


def test_neurons_of_a_layer(asked):
    model, images = asked
    maps = np.asarray(keras.Function(model.inputs, model.get_layer("conv").output)([images]))
    places = [list(np.unravel_index(one[..., 2].argmax(), one.shape[:2])) for one in maps]
    assert neurons(model, images, 2, layer="conv") == [[*place, 2] for place in places]
    anywhere = [list(np.unravel_index(one.argmax(), one.shape)) for one in maps]
    assert neurons(model, images, layer="conv") == anywhere
    assert neurons(model, images, (1, 4, 3), layer="conv") == [[1, 4, 3]] * 3
    each = np.array([[0, 1, 2], [3, 2, 1], [5, 5, 0]])
    assert neurons(model, images, each, layer="conv") == each.tolist()


def test_the_score_of_a_whole_channel_is_its_mean(asked):
    model, images = asked
    maps = np.asarray(keras.Function(model.inputs, model.get_layer("conv").output)([images]))
    scores = ask(Query.of(model, images, (..., 1), "conv")).scores
    np.testing.assert_allclose(scores, maps[..., 1].mean(axis=(1, 2)), rtol=1e-4)


def test_scores(asked):
    model, images = asked
    probabilities, second = map(np.asarray, model(images))
    first = Query.of(model, images, 1)
    np.testing.assert_allclose(ask(first, score="probability").scores, probabilities[:, 1], rtol=1e-4)
    np.testing.assert_allclose(
        ask(first, score="log-probability").scores, np.log(probabilities[:, 1]), rtol=1e-4
    )
    other = Query.of(model, images, output=1)
    np.testing.assert_allclose(ask(other, score="probability").scores, second[:, 0], rtol=1e-4)
    odds = np.log(second[:, 0] / (1 - second[:, 0]))
    np.testing.assert_allclose(ask(other).scores, odds, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "out of range"),
        (-1, "out of range"),
        ((0, 1), "a tuple has 1 coordinates"),
        (np.array([0, 1]), "one row for each of the 3 images"),
        (1.0, "a target is None, an int"),
        ([0, 1, 2], "a target is None, an int"),
        ("cat", "a target is None, an int"),
    ],
)
def test_targets_that_do_not_fit(asked, target, message):
    with pytest.raises(UserError, match=message):
        Query.of(*asked, target)


def test_other_errors(asked):
    model, images = asked
    with pytest.raises(TraceError, match="has no output 2; it has 2, from 0"):
        Query.of(model, images, output=2)
    with pytest.raises(TraceError, match="has no layer 'convv'"):
        Query.of(model, images, layer="convv")
    with pytest.raises(TraceError, match="got \\[3, 7, 8, 3\\]"):
        Query.of(model, images[:, 1:])
    with pytest.raises(UserError, match="score must be one of"):
        ask(Query.of(model, images), score="odds")
    with pytest.raises(UserError, match="a layer's neuron has no probability"):
        ask(Query.of(model, images, layer="conv"), score="probability")
    with pytest.raises(UserError, match="is no map with height and width"):
        Query.of(model, images).map_of("second")


def test_a_word_that_depends_on_no_image_is_refused():
    image, words = keras.Input((4, 4, 3)), keras.Input((5,), dtype="int32")
    text = layers.Embedding(9, 3, name="text")(words)
    seen = layers.RepeatVector(5)(layers.GlobalAveragePooling2D()(image))
    model = keras.Model([image, words], layers.Add()([text, seen]))
    inputs = [np.zeros((2, 4, 4, 3), "float32"), np.zeros((2, 5), "int32")]
    with pytest.raises(TraceError, match="'text' does not depend on an image"):
        Query.of(model, inputs, layer="text")
    assert Query.of(model, inputs, (3, 2)).pattern.tolist() == [[3, 2]] * 2


def test_infinite_answers_are_refused(asked):
    model, images = asked
    model.get_layer("first").bias.assign([np.inf, 0, 0])
    with pytest.raises(UserError, match="holds NaN or infinite values"):
        ask(Query.of(model, images, 0))
    with pytest.raises(TraceError, match="holds NaN or infinite values"):
        trace(model, images, 0)


def test_several_last_maps_must_be_told_apart(rng):
    image = keras.Input((8, 8, 3))
    maps = [layers.Conv2D(2, 3, name=name)(image) for name in ("left", "right")]
    pooled = layers.Concatenate()([layers.GlobalMaxPooling2D()(x) for x in maps])
    model = keras.Model(image, layers.Dense(3, name="dense")(pooled))
    query = Query.of(model, nets.images(rng, 1, model))
    with pytest.raises(UserError, match="found: 'left', 'right'\\); name one with at="):
        query.map_of(None)
    assert query.map_of("right").name == "right"
