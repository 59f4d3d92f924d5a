"""Models as people build them: several inputs and outputs, dicts, wrappers, backbones inside models."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact

from gazeback.cnn_trace import MissingRule, TraceError, trace
from gazeback.cnn_trace.graph import flatten
from gazeback.cnn_trace.rules import find_rule
from gazeback.cnn_trace.tracer import tracer_of

pytestmark = pytest.mark.usefixtures("eager")
METHODS = ({"method": "evidence"}, {"method": "fixations"})
# Frames in one tensor have no finer maps in common with frames in several.
FRAMES = ({"method": "evidence", "finer": 0}, {"method": "fixations"})


def graph_of(model):
    return flatten(model, lambda operation: find_rule(operation) is not None)


def assert_same_trace(model, given, twin, given_twin, targets=(0, 1), methods=METHODS, **options):
    for method in methods:
        for target in targets:
            found = trace(model, given, target, **method, **options)
            expected = trace(twin, given_twin, target, **method)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one.points, other.points)
                np.testing.assert_allclose(one.weights, other.weights, rtol=1e-5)


class Fusion(layers.Layer):
    """Called on a dict, returns a dict; made of Keras layers."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.photo, self.words = layers.Dense(4, name="photo"), layers.Dense(4, name="words")

    def build(self, shapes):
        self.photo.build(shapes["photo"])
        self.words.build(shapes["words"])

    def call(self, parts):
        return {"sum": self.photo(parts["photo"]) + self.words(parts["words"]), "text": parts["words"]}


class Pooled(layers.Layer):
    """Called on a list, returns a tuple; operators only."""

    def call(self, maps):
        return tuple(ops.mean(one, axis=(1, 2)) for one in maps)


@pytest.fixture
def photo_and_words(rng):
    return rng.normal(size=(2, 6, 6, 3)).astype("float32"), rng.normal(size=(2, 5)).astype("float32")


def test_layers_called_on_dicts_and_lists(rng, photo_and_words):
    image, words = keras.Input((6, 6, 3)), keras.Input((5,))
    x = layers.Conv2D(4, 3)(image)
    negative = layers.Rescaling(-1.0)(x)
    first, second = Pooled()([x, negative])
    fusion = Fusion(name="fusion")
    fused = fusion({"photo": ops.concatenate([first, second], axis=-1), "words": words})
    dense = layers.Dense(3)
    model = nets.randomise(keras.Model([image, words], dense(fused["sum"])), rng)
    pooled = [ops.mean(one, axis=(1, 2)) for one in (x, negative)]
    pooled = ops.concatenate(pooled, axis=-1)
    plain = keras.Model([image, words], dense(fusion.photo(pooled) + fusion.words(words)))
    assert_same_trace(model, photo_and_words, plain, list(photo_and_words))
    assert [call.name for call in graph_of(model).calls_of("fusion/photo")] == ["fusion/photo"]


class Captioner(keras.Model):
    """Subclassed: a dict goes in, a dict comes out."""

    def __init__(self):
        super().__init__(name="captioner")
        self.conv, self.embed = layers.Conv2D(4, 3, name="conv"), layers.Dense(4, name="embed")
        self.answer, self.other = layers.Dense(3, name="answer"), layers.Dense(2, name="other")

    def call(self, inputs, training=False):
        x = ops.mean(ops.relu(self.conv(inputs["photo"])), axis=(1, 2))
        x = ops.concatenate([x, self.embed(inputs["words"])], axis=-1)
        return {"answer": self.answer(x), "other": self.other(x)}


class TwoArguments(Captioner):
    """Subclassed: two arguments go in, a tuple comes out."""

    def build(self, words_shape, photo_shape):
        self.conv.build(photo_shape)
        self.embed.build(words_shape)
        self.answer.build((None, 8))
        self.other.build((None, 8))

    def call(self, words, photo):
        found = super().call({"photo": photo, "words": words})
        return found["answer"], found["other"]


def as_functional(model):
    image, words = keras.Input((6, 6, 3), name="photo"), keras.Input((5,), name="words")
    found = Captioner.call(model, {"photo": image, "words": words})
    return [keras.Model([image, words], found[name]) for name in ("answer", "other")]


def test_a_subclassed_model_of_dicts(rng, photo_and_words):
    photo, words = photo_and_words
    model, given = Captioner(), {"photo": photo, "words": words}
    model(given)
    nets.randomise(model, rng)
    for output, plain in enumerate(as_functional(model)):
        assert_same_trace(model, given, plain, [photo, words], output=output)
    image, text = keras.Input((6, 6, 3), name="photo"), keras.Input((5,), name="words")
    nested = keras.Model({"photo": image, "words": text}, model({"photo": image, "words": text}))
    assert_same_trace(nested, given, as_functional(model)[1], [photo, words], output=1)


def test_outputs_by_name(rng):
    image = keras.Input((6, 6, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    first, second = layers.Dense(3, name="first")(pooled), layers.Dense(2, name="second")(pooled)
    listed, named = keras.Model(image, [first, second]), keras.Model(image, {"a": second, "b": first})
    photo = nets.images(rng, 1, listed)
    expected = trace(listed, photo, 1, output=1)[0]
    for found in (trace(listed, photo, 1, output="second"), trace(named, photo, 1, output="a")):
        np.testing.assert_array_equal(found[0].points, expected.points)
    with pytest.raises(TraceError, match="has no output 2; it has 2, from 0: first, second"):
        trace(listed, photo, 1, output=2)
    with pytest.raises(TraceError, match="has no output 'c'; it has 2, from 0: a, b"):
        trace(named, photo, 1, output="c")


def test_a_subclassed_model_of_two_arguments(rng, photo_and_words):
    photo, words = photo_and_words
    model = TwoArguments()
    model(words, photo)
    nets.randomise(model, rng)
    for output, plain in enumerate(as_functional(model)):
        assert_same_trace(model, [words, photo], plain, [photo, words], output=output)
        assert_same_trace(model, {"photo": photo, "words": words}, plain, [photo, words], output=output)


def test_a_subclassed_model_of_a_list(rng, photo_and_words):
    class Listed(Captioner):
        def call(self, inputs):
            return super().call({"photo": inputs[1], "words": inputs[0]})["answer"]

    photo, words = photo_and_words
    model = Listed()
    model([words, photo])
    nets.randomise(model, rng)
    assert_same_trace(model, [words, photo], as_functional(model)[0], [photo, words])


def backbone():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="early")(image)
    x = layers.BatchNormalization(name="norm")(x)
    return keras.Model(image, layers.ReLU(name="late")(x), name="backbone")


def test_transfer_learning(rng):
    inner, dense = backbone(), layers.Dense(3, activation="softmax")
    augmentation = keras.Sequential(
        [layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1)], name="augmentation"
    )
    tail = [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), dense]
    model = keras.Sequential([keras.Input((8, 8, 3)), augmentation, layers.Rescaling(0.5), inner, *tail])
    nets.randomise(model, rng)
    image = keras.Input((8, 8, 3))
    functional = keras.Model(image, dense(layers.GlobalAveragePooling2D()(inner(image * 0.5))))
    images = rng.uniform(0, 255, size=(2, 8, 8, 3)).astype("float32")
    assert_same_trace(model, images, functional, images)


def test_a_nested_model_stands_for_what_made_its_output(rng):
    inner = backbone()
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(inner(image))))
    nets.randomise(model, rng)
    assert [call.name for call in graph_of(model).calls_of("backbone")] == ["backbone/late"]
    images = nets.images(rng, 1, model)
    by_model, by_layer = (
        trace(model, images, (2, 3, 1), layer=name)[0] for name in ("backbone", "backbone/late")
    )
    np.testing.assert_array_equal(by_model.points, by_layer.points)
    found = trace(model, images, 1, handoff="backbone")[0]
    np.testing.assert_array_equal(found.at("backbone").coordinates, found.at("backbone/late").coordinates)


def test_a_nested_model_called_twice_is_its_last_call(rng):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same")], name="inner")
    image = keras.Input((8, 8, 3))
    graph = graph_of(keras.Model(image, inner(inner(image))))
    first, last = graph.calls_of("inner")
    assert last.inputs == first.outputs


def test_time_distributed_layers_and_models(rng):
    image = keras.Input((6, 12, 3))
    frames = layers.Reshape((3, 6, 4, 3))(layers.Permute((2, 1, 3))(image))
    shared, dense = backbone_of((6, 4, 3)), layers.Dense(2, activation="tanh")
    x = layers.TimeDistributed(shared)(frames)
    x = layers.TimeDistributed(layers.GlobalMaxPooling2D())(x)
    x = layers.TimeDistributed(dense)(x)
    model = nets.randomise(keras.Model(image, x), rng)
    steps = [dense(layers.GlobalMaxPooling2D()(shared(frames[:, t]))) for t in range(3)]
    plain = keras.Model(image, ops.stack(steps, axis=1))
    images = nets.images(rng, 2, model)
    np.testing.assert_allclose(np.asarray(model(images)), np.asarray(plain(images)), rtol=1e-5)
    assert_same_trace(model, images, plain, images, targets=[(0, 1), (2, 0)], methods=FRAMES)
    assert_exact(model, images, rng)


def backbone_of(shape):
    layer = layers.Conv2D(4, 3, padding="same", activation="relu")
    return keras.Sequential([keras.Input(shape), layer, layers.MaxPooling2D(2)])


def test_time_distributed_over_any_number_of_steps_has_no_rule(rng):
    image = keras.Input((None, 4, 3))
    x = layers.TimeDistributed(layers.Dense(2), name="over_time")(image)
    with pytest.raises(MissingRule, match="layer 'over_time' of class TimeDistributed"):
        trace(keras.Model(image, x), np.zeros((1, 3, 4, 3)), (0, 0, 0))


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul"])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_bidirectional(rng, kind, return_sequences, merge_mode):
    image = keras.Input((4, 5, 3))
    sequence = layers.Reshape((4, 15))(image)
    both = layers.Bidirectional(kind(3, return_sequences=return_sequences), merge_mode=merge_mode)
    model = nets.randomise(keras.Model(image, both(sequence)), rng)
    images = nets.images(rng, 2, model)
    graph = tracer_of(model).graph
    assert sum(isinstance(call.operation, kind) for call in graph.calls) == 2
    assert_exact(model, images, rng)
    assert len(trace(model, images, method="fixations")[0])


class Scaled(layers.Layer):
    """``x * gamma``, as LayerScale does; and a matrix product with a weight of its own."""

    def build(self, shape):
        self.gamma = self.add_weight(name="gamma", shape=shape[-1:], initializer="ones")
        self.matrix = self.add_weight(name="matrix", shape=(shape[-1], 3))

    def call(self, x):
        return ops.matmul(x * self.gamma, self.matrix)


def test_a_layer_with_weights_of_its_own_is_opened(rng):
    image, scaled = keras.Input((5, 6, 4)), Scaled()
    model = nets.randomise(keras.Model(image, scaled(image)), rng)
    dense = layers.Dense(3, use_bias=False)
    norm = layers.BatchNormalization(center=False, epsilon=0)
    plain = keras.Model(image, dense(norm(image)))
    norm.gamma.assign(scaled.gamma)
    dense.kernel.assign(scaled.matrix)
    images = nets.images(rng, 2, model)
    assert_exact(model, images, rng)
    assert_same_trace(model, images, plain, images, targets=[(1, 2, 0), (4, 0, 2)])


def test_an_operator_that_mixes_the_images_of_a_batch_is_refused(rng):
    image = keras.Input((4, 5, 3))
    for function, message in (
        (lambda x: ops.roll(x, 1, axis=0), "mixes the images of a batch"),
        (lambda x: ops.swapaxes(ops.swapaxes(x, 0, 1), 0, 1), "mixes the images of a batch"),
        (lambda x: ops.stack([x, x], axis=0)[0], "mixes the images of a batch"),
        (lambda x: ops.concatenate([x, x], axis=0), "concatenates along the batch axis"),
    ):
        model = keras.Model(image, function(image))
        with pytest.raises(TraceError, match=message):
            trace(model, nets.images(rng, 4, model), (0, 0, 0), method="fixations")


class AsksHowMany(layers.Layer):
    """A layer whose call asks how many images there are, which symbolic tensors do not say."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = layers.Dense(4)

    def call(self, x):
        images = ops.shape(x)[0]
        tokens = self.dense(ops.reshape(x, (images, -1, x.shape[-1])))
        return tokens + ops.broadcast_to(ops.arange(4, dtype="float32"), (images, 1, 4))


def test_a_layer_that_asks_how_many_images_there_are_is_opened(rng):
    image = keras.Input((9, 9, 3))
    x = layers.Conv2D(5, 3, activation="relu")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(AsksHowMany()(x))))
    nets.randomise(model, rng)
    assert_exact(model, rng.normal(size=(2, 9, 9, 3)).astype(np.float32), rng)
