"""Composite layers of keras_hub are opened: the same numbers, exact sums, in classifiers and captioners."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import assert_exact, assert_recorded
from twins.exact_words import sums_and_logits

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.tracer import METHODS, Tracer
from gazeback.models import wrap_captioner

hub = pytest.importorskip("keras_hub", reason="keras_hub is not installed").layers

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")

SIDE, WIDTH, WORDS, LENGTH = 24, 8, 9, 5


def tokens(image):
    return layers.Reshape((16, WIDTH))(layers.Conv2D(WIDTH, 6, 6, name="patches")(image))


def of_image(build):
    """A classifier whose middle makes tokens of tokens."""
    image = keras.Input((SIDE, SIDE, 3))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(build(tokens(image)))))


def of_words(build, embedding):
    """A captioner: tokens of the image and embedded words to the scores of all words."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((LENGTH,), dtype="int32")
    return keras.Model([image, words], layers.Dense(WORDS)(build(embedding(words), tokens(image))))


def embedded(**how):
    return hub.TokenAndPositionEmbedding(WORDS, LENGTH, WIDTH, **how)


def pooled(places):
    return layers.GlobalAveragePooling1D()(places)[:, None]


def tied():
    embedding = hub.ReversibleEmbedding(WORDS, WIDTH)
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((LENGTH,), dtype="int32")
    x = embedding(words) + pooled(tokens(image))
    return keras.Model([image, words], embedding(x, reverse=True))


KINDS = {
    "encoder": lambda: of_image(hub.TransformerEncoder(16, 2)),
    "encoder, normalised first": lambda: of_image(
        hub.TransformerEncoder(16, 2, normalize_first=True, activation="gelu")
    ),
    "positions": lambda: of_image(lambda x: x + hub.PositionEmbedding(16)(x)),
    "sines": lambda: of_image(lambda x: x + hub.SinePositionEncoding()(x)),
    "rotary": lambda: of_image(hub.RotaryEmbedding()),
    "decoder": lambda: of_words(hub.TransformerDecoder(16, 2), embedded()),
    "decoder, masks": lambda: of_words(hub.TransformerDecoder(16, 2), embedded(mask_zero=True)),
    "decoder, normalised first": lambda: of_words(
        hub.TransformerDecoder(16, 2, normalize_first=True), embedded()
    ),
    "decoder without cross-attention": lambda: of_words(
        lambda x, places: hub.TransformerDecoder(16, 2)(x + pooled(places)), embedded()
    ),
    "tied": tied,
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_opened_and_exact(kind, rng):
    model = nets.randomise(KINDS[kind](), rng)
    given = rng.normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    target = 1
    if len(model.inputs) > 1:
        given, target = [given, np.array([[1, 2, 3, 4, 5], [3, 2, 1, 0, 0]], np.int32)], (2, 1)
    assert_recorded(model, given)
    assert_exact(model, given, rng)
    for method in METHODS:
        trace(model, given, target, method=method)
    kinds = [type(call.operation).__module__.split(".")[0] for call in Tracer(model).graph.calls]
    assert "keras_hub" not in kinds


def test_a_captioner_of_its_layers_is_wrapped(rng):
    model = nets.randomise(KINDS["decoder"](), rng)
    words = ["", "start", "end", "a", "red", "dog", "and", "cat", "runs"]
    mine = wrap_captioner(model, tokenizer=words, start="start", end="end")
    pixels = rng.uniform(0, 1, (SIDE, SIDE, 3)).astype(np.float32)
    ids = [3, 4, 5]
    found = mine.log_probabilities(mine.features(pixels[None]), np.array([[1, *ids]]))
    scores = np.asarray(ops.log_softmax(model([pixels[None], np.array([[1, *ids, 0]])])))
    np.testing.assert_allclose(found, scores[:, :4], atol=1e-4)
    np.testing.assert_allclose(*sums_and_logits(mine, pixels, ids), rtol=1e-4, atol=1e-4)
    assert mine.features_layer.endswith("patches")
