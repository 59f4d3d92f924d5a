"""The flat graph: every call once, by name, the model untouched."""

import gc

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.graph import flatten
from gazeback.cnn_trace.rules import find_rule
from gazeback.cnn_trace.tracer import tracer_of


def graph_of(model):
    return flatten(model, lambda operation: find_rule(operation) is not None)


def names(model):
    return [call.name + (":" + call.part) * (call.part != "whole") for call in graph_of(model).calls]


class Pair(layers.Layer):
    """A composite layer."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.first, self.second = layers.Dense(3, name="first"), layers.Dense(3, name="second")

    def build(self, shape):
        self.first.build(shape)
        self.second.build((*shape[:-1], 3))

    def call(self, x, training=False):
        return self.second(ops.relu(self.first(x)))


class Net(keras.Model):
    """A subclassed model with a composite layer and a functional model inside."""

    def __init__(self):
        super().__init__(name="net")
        image = keras.Input((6, 6, 3))
        self.trunk = keras.Model(
            image, layers.Conv2D(4, 3, activation="relu", name="conv")(image), name="trunk"
        )
        self.pool = layers.GlobalAveragePooling2D(name="pool")
        self.pair = Pair(name="pair")

    def call(self, x):
        return self.pair(self.pool(self.trunk(x)))


def test_names_of_inlined_calls():
    model = Net()
    model(np.zeros((1, 6, 6, 3)))
    found = names(model)
    assert found[:3] == ["trunk/conv:linear", "trunk/conv:activation", "pool"]
    assert (found[3], found[5]) == ("pair/first", "pair/second")
    assert found[4].startswith("pair/relu")
    nested_image = keras.Input((6, 6, 3))
    nested = keras.Model(nested_image, model(nested_image))
    assert [name.removeprefix("net/") for name in names(nested)][:4] == found[:4]


def test_a_layer_called_twice_is_two_calls():
    image = keras.Input((4, 4, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    graph = graph_of(keras.Model(image, shared(shared(image))))
    first, second = graph.calls_of("shared")
    assert second.inputs == first.outputs
    assert len(graph.calls) == 2


def test_unused_branches_and_earlier_calls_of_a_layer_are_not_in_the_graph():
    image, other = keras.Input((4, 4, 3)), keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    shared(other)
    layers.Dense(2)(shared(image))
    assert names(keras.Model(image, shared(image))) == ["shared"]


def test_constants_stay_in_the_call():
    image = keras.Input((4, 4, 3))
    call = graph_of(keras.Model(image, image * 0.5)).calls[0]
    assert call.arguments[1:] == (0.5,)


def test_image_inputs_and_what_depends_on_them():
    image, words = keras.Input((4, 4, 3)), keras.Input((5,), dtype="int32")
    text = layers.Embedding(9, 3, name="text")(words)
    seen = layers.RepeatVector(5, name="seen")(layers.GlobalAveragePooling2D()(image))
    graph = graph_of(keras.Model([image, words], layers.Add(name="both")([text, seen])))
    assert graph.image_inputs == graph.inputs[:1]
    depends = {call.name: call.depends_on_image for call in graph.calls}
    assert (depends["text"], depends["seen"], depends["both"]) == (False, True, True)


@pytest.mark.parametrize("nested", [False, True])
def test_the_model_is_left_untouched(nested, rng):
    model = Net()
    model(np.zeros((1, 6, 6, 3)))
    if nested:
        image = keras.Input((6, 6, 3))
        model = keras.Model(image, layers.Dense(3, name="out")(model(image)))
    nets.randomise(model, rng)
    images = rng.normal(size=(1, 6, 6, 3)).astype("float32")
    every = [model, *model._flatten_layers(include_self=False)]

    def state():
        nodes = [(x.name, len(x._inbound_nodes), len(x._outbound_nodes), x.built, x.trainable) for x in every]
        activations = [getattr(x, "activation", None) for x in every]
        return nodes, activations, model.get_weights(), np.asarray(model(images))

    before = state()
    trace(model, images, 1)
    trace(model, images, 1, method="fixations", location="argmax")
    after = state()
    assert before[:2] == after[:2]
    for x, y in zip(before[2], after[2], strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(before[3], after[3])
    if nested:
        assert model.get_layer("out").output is model.output
        assert isinstance(keras.Model(model.input, model.get_layer("net").output), keras.Model)


class Counting(layers.Layer):
    """Counts how often Python runs its call; opaque to the flattener."""

    runs = 0

    def call(self, x):
        type(self).runs += 1
        return ops.sort(x, axis=1)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch compiles nothing")
def test_recording_compiles_once(rng):
    image, words = keras.Input((6, 6, 3)), keras.Input((4,))
    text = Counting()(words)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    model = keras.Model([image, words], layers.Dense(3)(layers.Concatenate()([x, text])))
    inputs = [rng.normal(size=(2, 6, 6, 3)), rng.normal(size=(2, 4))]
    trace(model, inputs, 0)
    runs = Counting.runs
    trace(model, inputs, 2, neurons=5)
    trace(model, inputs, [0, 1])
    trace(model, [x + 1 for x in inputs])
    assert Counting.runs == runs
    assert tracer_of(model) is tracer_of(model)


def test_the_tracer_does_not_keep_a_model_alive(rng):
    from gazeback.cnn_trace import tracer

    model = nets.one_by_one(rng)
    trace(model, nets.images(rng, 1, model), 0)
    count = len(tracer._tracers)
    del model
    gc.collect()
    assert len(tracer._tracers) < count


@pytest.mark.usefixtures("eager")
def test_changed_weights_are_seen(rng):
    model = nets.randomise(nets.rectangular(rng), rng)
    images = nets.images(rng, 1, model)
    first = trace(model, images, 0, method="fixations", location="argmax")[0]
    for change in (lambda w: -w, lambda w: np.roll(w, 1, axis=-2), lambda w: w[::-1], lambda w: w * 1.01):
        for layer in model.layers:
            if isinstance(layer, layers.Conv2D):
                layer.kernel.assign(change(np.asarray(layer.kernel)).copy())
        twin = keras.models.clone_model(model)
        twin.set_weights(model.get_weights())
        changed = trace(model, images, 0, method="fixations", location="argmax")[0]
        expected = trace(twin, images, 0, method="fixations", location="argmax")[0]
        np.testing.assert_array_equal(changed.points, expected.points)
    assert len(first)


@pytest.mark.usefixtures("eager")
def test_inputs_as_list_tuple_and_dict(rng):
    image, words = keras.Input((5, 5, 3), name="photo"), keras.Input((4,), name="words")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    output = layers.Dense(3)(layers.Concatenate()([x, words]))
    a, b = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(2, 4))
    by_list = keras.Model([image, words], output)
    by_dict = keras.Model({"words": words, "photo": image}, output)
    expected = trace(by_list, [a, b], 1)
    for model, given in (
        (by_list, (a, b)),
        (by_list, {"words": b, "photo": a}),
        (by_dict, {"photo": a, "words": b}),
    ):
        for one, other in zip(trace(model, given, 1), expected, strict=True):
            np.testing.assert_array_equal(one.points, other.points)


@pytest.mark.usefixtures("eager")
def test_one_image_without_the_batch_axis_and_a_list_of_images(rng):
    model = nets.randomise(nets.one_by_one(rng), rng)
    images = nets.images(rng, 2, model)
    expected = trace(model, images, 1)
    np.testing.assert_array_equal(trace(model, images[1], 1)[0].points, expected[1].points)
    np.testing.assert_array_equal(trace(model, list(images), 1)[1].points, expected[1].points)
    np.testing.assert_array_equal(trace(model, [images], 1)[1].points, expected[1].points)


@pytest.mark.usefixtures("eager")
def test_the_second_of_two_outputs(rng):
    image = keras.Input((5, 5, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    first, second = layers.Dense(3)(x), layers.Dense(2)(x)
    model = nets.randomise(keras.Model(image, [first, second]), rng)
    images = rng.normal(size=(1, 5, 5, 3))
    found = trace(model, images, 1, output=1)[0]
    expected = trace(keras.Model(image, second), images, 1)[0]
    np.testing.assert_array_equal(found.points, expected.points)
    assert found.weights.sum() == pytest.approx(1)
