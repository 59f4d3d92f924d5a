"""A layer that is called several times: each call has a name, and no call is chosen silently."""

import keras
import numpy as np
import pytest
from keras import layers

from gazeback.cnn_trace import TraceError, TraceWarning, trace
from gazeback.cnn_trace.plots import layer_fixations
from gazeback.eval.baselines.query import explain


@pytest.fixture(params=["left first", "right first"])
def siamese(request):
    keras.utils.set_random_seed(0)
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")
    maps = [shared(left), shared(right)]
    joined = layers.Add()(maps if request.param == "left first" else maps[::-1])
    answer = layers.Dense(2, kernel_initializer="ones")
    return keras.Model([left, right], answer(layers.GlobalAveragePooling2D()(joined)))


@pytest.fixture
def pair(rng):
    return [rng.random((1, 8, 8, 3), np.float32) for _ in range(2)]


def test_each_call_has_a_name_that_does_not_depend_on_operands(siamese, pair):
    first = trace(siamese, pair, 0, layer="conv#1")[0]
    assert (len(first.at_input("left")) > 0, len(first.at_input("right"))) == (True, 0)
    second = trace(siamese, pair, 0, layer="conv#2")[0]
    assert (len(second.at_input("left")), len(second.at_input("right")) > 0) == (0, True)


def test_a_name_of_several_calls_is_one_clear_error(siamese, pair):
    told = r"layer 'conv' is called 2 times; name one call: conv#1, conv#2, in the order"
    with pytest.raises(TraceError, match=told):
        trace(siamese, pair, 0, layer="conv")
    with pytest.raises(TraceError, match=told):
        explain("grad-cam", siamese, pair, 0, at="conv")
    found = trace(siamese, pair, 0)[0]
    with pytest.raises(TraceError, match=told):
        found.at("conv")
    with pytest.raises(TraceError, match="layer 'conv' is called 2 times: there is no 'conv#3'"):
        trace(siamese, pair, 0, layer="conv#3")
    assert len(found.at("conv#1")) > 0
    assert explain("grad-cam", siamese, pair, 0, at="conv#1").shape == (1, 8, 8)


def test_nested_models_called_twice(rng):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same")], name="inner")
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(inner(inner(image))))
    images = rng.random((1, 8, 8, 3), np.float32)
    with pytest.raises(TraceError, match=r"'inner' is called 2 times; name one call: inner#1, inner#2"):
        trace(model, images, 0, layer="inner")
    places = [trace(model, images, (4, 4, 0), layer=f"inner#{number}")[0] for number in (1, 2)]
    sides = [np.ptp(found.points, axis=0).max() for found in places]
    assert sides[0] <= 2 < sides[1]  # one convolution of three by three, or two


def test_what_passed_an_input(siamese, pair):
    found = trace(siamese, pair, 0)[0]
    assert found.at("left").coordinates.shape[1] == 3
    assert len(layer_fixations(siamese, found, "left")) > 0


@pytest.mark.parametrize("given", [[0, 1], None, {}, 1.5, "other", 99])
def test_outputs_that_there_are_not(siamese, pair, given):
    with pytest.raises(TraceError, match="has no output"):
        trace(siamese, pair, 0, output=given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"nothing": 1}, "there is no option 'nothing'; the options are method, location"),
        ({"share": "x"}, "an option has a wrong kind of value .*share='x'"),
        ({"reference": "x"}, "an option has a wrong kind of value"),
        ({"layer": 3}, "a layer is given by its name, got 3"),
        ({"handoff": 3}, "a layer is given by its name, got 3"),
    ],
)
def test_unknown_options_are_errors_of_the_trace(siamese, pair, given, told):
    with pytest.raises(TraceError, match=told):
        trace(siamese, pair, 0, **given)


def test_unknown_options_of_compared_methods(siamese, pair):
    with pytest.raises(TraceError, match="method 'saliency' has no option 'nothing'; it takes layer, output"):
        explain("saliency", siamese, pair, 0, nothing=1)


def test_one_model_is_refused_in_the_same_words():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)], name="net")
    told = r"model 'net' has no image input \[n, height, width, channels\]; its inputs are \[\[None, 4\]\]"
    with pytest.raises(TraceError, match=told):
        trace(model, np.ones((1, 4), np.float32), 0)
    with pytest.raises(TraceError, match=told):
        explain("saliency", model, np.ones((1, 4), np.float32), 0)


def test_a_state_that_is_given_is_told(rng):
    image, state = keras.Input((8, 8, 3)), keras.Input((4,), name="state")
    seen = layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image)))
    answer = layers.GRU(4)(layers.Reshape((1, 4))(seen), initial_state=state)
    model = keras.Model([image, state], layers.Dense(9)(answer))
    given = [rng.random((1, 8, 8, 3), np.float32), rng.random((1, 4), np.float32)]
    with pytest.warns(TraceWarning, match="the state 'state' is an input of model .* is not traced"):
        trace(model, given, 0)
