"""Attention, rollout and Chefer's relevance against literal versions, written from the papers with loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from twins import nets
from twins.own_captioners import IDS, INDEX, attention_by_steps, merge, photo, scaled, transformer

from gazeback.eval.baselines import explain
from gazeback.grounding.methods import explained_words
from gazeback.models import wrap_captioner
from gazeback.models.errors import UserError

SIDE, GRID, WIDTH, HEADS, WORDS, STEPS = 24, 4, 8, 2, 7, 3
PLACES = GRID * GRID


def places_of(image):
    return layers.Reshape((PLACES, WIDTH))(layers.Conv2D(WIDTH, 6, 6)(image))


def own_layers(model, count):
    found = [layer for layer in model.layers if isinstance(layer, layers.MultiHeadAttention)]
    assert len(found) == count
    return found


def attend(layer, query, value):
    """Multi-head attention by its weights: the output and the attention [n, heads, queries, keys]."""
    q, k, v, o = (getattr(layer, f"_{name}_dense") for name in ("query", "key", "value", "output"))
    q, k, v = (
        tf.einsum("ntd,dhe->nhte", x, dense.kernel.value) + dense.bias.value[None, :, None]
        for x, dense in ((query, q), (value, k), (value, v))
    )
    weights = tf.nn.softmax(tf.einsum("nhte,nhse->nhts", q, k) / np.sqrt(q.shape[-1]), axis=-1)
    mixed = tf.einsum("nhts,nhse->nhte", weights, v)
    return tf.einsum("nhte,hed->ntd", mixed, o.kernel.value) + o.bias.value, weights


@pytest.fixture
def classifier(rng):
    """Two layers of self-attention over the places, the mean of the places, and three classes."""
    image = keras.Input((SIDE, SIDE, 3))
    x = places_of(image)
    for _ in range(2):
        x = x + layers.MultiHeadAttention(HEADS, 3)(x, x)
    x = layers.GlobalAveragePooling1D()(x)
    return nets.randomise(keras.Model(image, layers.Dense(3)(x)), rng)


@pytest.fixture
def captioner(rng):
    """Places that look at places, words at words, words at places; scores of all words."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((STEPS,), dtype="int32")
    x = places_of(image)
    x = x + layers.MultiHeadAttention(HEADS, 3, name="places")(x, x)
    y = layers.Embedding(WORDS, WIDTH)(words)
    y = y + layers.MultiHeadAttention(HEADS, 3, name="words")(y, y)
    y = y + layers.MultiHeadAttention(HEADS, 3, name="cross")(y, x)
    return nets.randomise(keras.Model([image, words], layers.Dense(WORDS)(y)), rng)


def run_classifier(model, images, target):
    """The attention of both layers, and the gradient of the target's score with respect to it."""
    with tf.GradientTape() as tape:
        x, found = model.layers[2](model.layers[1](tf.constant(images))), []
        for layer in own_layers(model, 2):
            more, weights = attend(layer, x, x)
            x, found = x + more, [*found, weights]
        score = tf.reduce_sum(model.layers[-1](tf.reduce_mean(x, axis=1))[:, target])
    return [w.numpy() for w in found], [g.numpy() for g in tape.gradient(score, found)]


def run_captioner(model, images, words, step, word):
    image_self, word_self, cross = map(model.get_layer, ("places", "words", "cross"))
    convolution = next(x for x in model.layers if isinstance(x, layers.Conv2D))
    embedding = next(x for x in model.layers if isinstance(x, layers.Embedding))
    with tf.GradientTape() as tape:
        x = tf.reshape(convolution(tf.constant(images)), (-1, PLACES, WIDTH))
        more, places = attend(image_self, x, x)
        x = x + more
        y = embedding(words)
        more, of_words = attend(word_self, y, y)
        y = y + more
        more, crossed = attend(cross, y, x)
        found = [places, of_words, crossed]
        score = tf.reduce_sum(model.layers[-1](y + more)[:, step, word])
    return [w.numpy() for w in found], [g.numpy() for g in tape.gradient(score, found)]


def positive(weights, gradient):
    """Equation 5 of Chefer et al.: the mean over the heads of what is positive, [n, queries, keys]."""
    n, heads, queries, keys = weights.shape
    found = np.zeros((n, queries, keys))
    for i, h, q, k in np.ndindex(n, heads, queries, keys):
        found[i, q, k] += max(0.0, float(weights[i, h, q, k]) * float(gradient[i, h, q, k])) / heads
    return found


def normal(relevance):
    """Equations 8 and 9."""
    found = np.zeros_like(relevance)
    size = len(relevance)
    for row in range(size):
        rest = [relevance[row, k] - (row == k) for k in range(size)]
        for k in range(size):
            found[row, k] = (rest[k] / sum(rest) if sum(rest) else 0.0) + (row == k)
    return found


def images_of(rng):
    return rng.normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)


def test_a_classifiers_maps(classifier, rng):
    images = images_of(rng)
    (first, second), gradients = run_classifier(classifier, images, 1)
    asked = {"target": 1, "raw": True}
    found = {name: explain(name, classifier, images, **asked) for name in ("attention", "attention-rollout")}
    identity = np.eye(PLACES)
    one, two = (positive(w, g) for w, g in zip((first, second), gradients, strict=True))
    chefer = explain("chefer", classifier, images, **asked)
    for i in range(2):
        last = second[i].mean(axis=0).mean(axis=0)
        np.testing.assert_allclose(found["attention"][i].ravel(), last, rtol=1e-4)
        mixed = [0.5 * w[i].mean(axis=0) + 0.5 * identity for w in (second, first)]
        np.testing.assert_allclose(
            found["attention-rollout"][i].ravel(), (mixed[0] @ mixed[1]).mean(axis=0), rtol=1e-4
        )
        relevance = identity + one[i] @ identity  # equation 6, layer by layer
        relevance = relevance + two[i] @ relevance
        np.testing.assert_allclose(chefer[i].ravel(), relevance.mean(axis=0), rtol=1e-3)


def test_a_captioners_maps(captioner, rng):
    images, words, step, word = images_of(rng), np.array([[1, 2, 3], [4, 5, 6]]), 1, 4
    weights, gradients = run_captioner(captioner, images, words, step, word)
    places, _, cross = (w.mean(axis=1) for w in weights)
    asked = {"target": (step, word), "raw": True}
    found = explain("attention", captioner, [images, words], **asked)
    rollout = explain("attention-rollout", captioner, [images, words], **asked)
    chefer = explain("chefer", captioner, [images, words], **asked)
    relevance = [positive(w, g) for w, g in zip(weights, gradients, strict=True)]
    for i in range(2):
        np.testing.assert_allclose(found[i].ravel(), cross[i, step], rtol=1e-4)
        of_places = 0.5 * places[i] + 0.5 * np.eye(PLACES)
        np.testing.assert_allclose(rollout[i].ravel(), 0.5 * cross[i, step] @ of_places, rtol=1e-4)
        of_places = np.eye(PLACES) + relevance[0][i]
        of_words = np.eye(STEPS) + relevance[1][i]
        expected = normal(of_words).T @ relevance[2][i] @ normal(of_places)  # equation 10
        np.testing.assert_allclose(chefer[i].ravel(), expected[step], rtol=1e-3, atol=1e-7)


def test_a_step_shows_where_its_own_attention_looks():
    own = attention_by_steps()
    mine = wrap_captioner(**own.arguments, preprocess=scaled, tokenizer=INDEX)
    pixels = photo(3).astype(np.float32)
    encoder, decoder = own.arguments["encoder"], own.arguments["step"]
    features, hidden = encoder(scaled(pixels)[None]), decoder.reset_state(1)
    maps = explained_words("attention", mine, pixels, IDS)
    for word, heat in zip([INDEX["startseq"], *IDS[:-1]], maps, strict=True):
        _, hidden, weights = decoder(np.array([[word]]), features, hidden)
        grid = np.asarray(weights).reshape(5, 5)
        coarse = heat[2::5, 2::5][:5, :5]
        assert np.corrcoef(grid.ravel(), coarse.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("name", ["attention", "attention-rollout", "chefer"])
def test_words_of_a_transformer_have_maps(name):
    own = transformer()
    mine = wrap_captioner(**own.arguments, preprocess=scaled, tokenizer=INDEX)
    maps = explained_words(name, mine, photo(3).astype(np.float32), IDS)
    assert all(np.ptp(heat) > 0 for heat in maps)


@pytest.mark.parametrize("name", ["attention", "attention-rollout", "chefer"])
def test_without_attention_there_is_one_line(name):
    mine = wrap_captioner(**merge().arguments, preprocess=scaled, tokenizer=INDEX)
    with pytest.raises(UserError, match="depends on no attention to the places of a map; choose another"):
        explained_words(name, mine, photo(3).astype(np.float32), IDS)
