"""One image with several rows of words; questions on several tensors; words seen without the image."""

import keras
import numpy as np
import pytest
from keras import layers

from gazeback.cnn_trace.head import read_to_embeddings, to_embeddings
from gazeback.cnn_trace.tracer import METHODS, Options, Tracer

WORDS, LENGTH, UNITS = 7, 4, 5


def merged_model(outputs=1):
    """Image and words meet behind an LSTM that reads the words alone; ``outputs`` lists of word logits."""
    keras.utils.set_random_seed(4)
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(6, 3, 2, activation="relu", name="early")(image)
    x = layers.Conv2D(4, 3, activation="relu", name="last")(x)
    x = layers.Dense(UNITS, activation="relu")(layers.GlobalAveragePooling2D()(x))
    words = keras.Input((LENGTH,), name="words", dtype="int32")
    h = layers.LSTM(UNITS)(layers.Embedding(WORDS, 3, name="embedding")(words))
    merged = layers.Dense(UNITS, activation="relu")(layers.Add()([x, h]))
    heads = [layers.Dense(WORDS, activation="softmax")(merged) for _ in range(outputs)]
    return keras.Model([image, words], heads if outputs > 1 else heads[0])


@pytest.fixture
def image(rng):
    return rng.normal(size=(1, 12, 12, 3)).astype(np.float32)


def explained(tracer, arrays, target, neurons, options, also=frozenset()):
    """The map is seen once, then the words are asked about."""
    seen = tracer.first_recording([arrays[0], arrays[1][:1]], frozenset([tracer.target("last")]), options)
    return tracer.explain(arrays, target, lambda _: neurons, options, also, known=seen)


def own(method):
    """Neurons that are drawn are shared by all questions that are asked together."""
    return {"neurons": "all"} if method == "evidence" else {}


@pytest.mark.parametrize("method", METHODS)
def test_rows_together_are_as_each_alone(rng, image, method):
    tracer = Tracer(merged_model())
    words = rng.integers(0, WORDS, (3, LENGTH))
    neurons = np.array([[[1], [4], [2]]])
    options = Options(method=method, handoff="last" if method == "evidence" else None, **own(method))
    together = explained(tracer, [image, words], tracer.target(), neurons, options)
    for q in range(3):
        alone = explained(tracer, [image, words[q : q + 1]], tracer.target(), neurons[:, q : q + 1], options)
        one, other = together.fixations[0][q], alone.fixations[0][0]
        np.testing.assert_array_equal(one.points, other.points)
        # Weights are rounded to 5 digits of the largest.
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4, atol=1e-5 * one.weights.max())
        assert len(one.points)


def test_the_sums_of_rows_are_the_logits(rng, image):
    model = merged_model()
    tracer = Tracer(model)
    words = rng.integers(0, WORDS, (3, LENGTH))
    target, options = tracer.target(), Options(handoff="last")
    also = frozenset({target, *read_to_embeddings(tracer.graph, [target], options.selection)})
    asked = explained(tracer, [image, words], target, np.array([[[1], [4], [2]]]), options, also)
    logits = asked.recording[target][np.arange(3), [1, 4, 2]]
    (last,) = asked.decomposition.maps
    maps = (asked.decomposition.maps[last] * asked.recording[last]).reshape(3, -1).sum(axis=1)
    (behind,) = asked.decomposition.others
    rest = (asked.decomposition.others[behind] * asked.recording[behind]).sum(axis=1)
    np.testing.assert_allclose(maps + rest + asked.decomposition.bias, logits, rtol=1e-4, atol=1e-6)
    probabilities = np.asarray(model([np.repeat(image, 3, 0), words]))
    odds = np.exp(asked.recording[target])
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), probabilities, rtol=1e-4)

    below = to_embeddings(tracer.graph, asked.recording, asked.decomposition, np.arange(3))
    (embedded,) = below.others
    assert embedded.call is not None
    assert embedded.call.operation.name == "embedding"
    assert below.others[embedded].shape == (3, LENGTH, 3)
    again = (below.others[embedded] * asked.recording[embedded]).sum(axis=(1, 2)) + below.bias
    np.testing.assert_allclose(again, rest, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("contrast", [None, "likely"])
def test_questions_on_several_tensors_are_as_each_alone(rng, image, method, contrast):
    if contrast and method != "evidence":
        pytest.skip("contrast belongs to evidence")
    tracer = Tracer(merged_model(outputs=3))
    words = rng.integers(0, WORDS, (1, LENGTH))
    targets = [tracer.target(output=o) for o in range(3)]
    options = Options(method=method, contrast=contrast, **own(method))
    neurons = np.array([[[1], [4], [2]]])
    together = tracer.explain([image, words], targets, lambda _: neurons, options)
    for q, target in enumerate(targets):
        alone = tracer.explain([image, words], target, lambda _, q=q: neurons[:, q : q + 1], options)
        one, other = together.fixations[0][q], alone.fixations[0][0]
        np.testing.assert_array_equal(one.points, other.points)
        # Weights are rounded to 5 digits of the largest.
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4, atol=1e-5 * one.weights.max())
