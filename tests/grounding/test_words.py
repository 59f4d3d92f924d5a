"""``ground``: exact bookkeeping for every word, evidence in photo pixels, clear errors."""

import keras
import numpy as np
import pytest
from PIL import Image

from gazeback.cnn_trace import TraceError
from gazeback.grounding import ground, word_evidence
from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError
from gazeback.models.vocabulary import Vocabulary

CAPTION = "a red and blue photo"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-1)(image)
    x = keras.layers.Conv2D(6, 3, 2, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="last")(x)
    vocabulary = Vocabulary.from_captions([["a", "red", "and", "blue", "photo"]], min_count=1)
    model = show_and_tell.build(keras.Model(image, x), len(vocabulary), embedding_size=5, units=7)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.normal(0, 0.8, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return Captioner(model, vocabulary, rng.random(8).astype(np.float32), "last", "tiny")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_each_word_adds_up_exactly(captioner: Captioner, photo: np.ndarray) -> None:
    grounding = ground(captioner, photo, CAPTION)
    assert [word.text for word in grounding.words] == CAPTION.split()
    for j, word in enumerate(grounding.words):
        assert word.logprob == word.visual + word.language
        assert word.visual_share == max(0.0, 1 - np.exp(-word.visual))
        assert len(word.preceding) == j
        assert word.known
        assert word.text not in dict(word.runners_up)
        assert word.fixations.shape == (40, 60)


def test_the_scores_are_those_of_the_model(captioner: Captioner, photo: np.ndarray) -> None:
    grounding = ground(captioner, photo, CAPTION)
    ids = captioner.vocabulary.encode(CAPTION.split())
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    words = np.array([[captioner.vocabulary.start, *ids]], np.int32)
    logits = np.asarray(captioner.model({"image": small[None], "words": words}))[0, 1:]
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = logprobs[np.arange(len(ids)), ids]
    np.testing.assert_allclose([word.logprob for word in grounding.words], expected, atol=1e-5)
    total = expected.sum() + logprobs[-1, captioner.vocabulary.end]
    assert grounding.logprob == pytest.approx(total, abs=1e-5)


def test_language_is_what_the_mean_picture_would_say(captioner: Captioner, photo: np.ndarray) -> None:
    grounding = ground(captioner, photo, CAPTION)
    ids = captioner.vocabulary.encode(CAPTION.split())
    words = np.array([[captioner.vocabulary.start, *ids]], np.int32)
    mean = captioner.log_probabilities(captioner.mean_features[None], words)[0]
    expected = mean[np.arange(len(ids)), ids]
    np.testing.assert_allclose([word.language for word in grounding.words], expected, atol=1e-6)


def test_a_photo_like_the_mean_picture_adds_nothing(captioner: Captioner, photo: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    mean = captioner.features(small[None]).mean(axis=(0, 1, 2))
    same = Captioner(captioner.model, captioner.vocabulary, mean, "last", "same")
    for word in ground(same, photo, CAPTION).words:
        assert word.visual == pytest.approx(0, abs=1e-5)


def test_a_generated_caption_is_the_one_that_beam_search_finds(
    captioner: Captioner, photo: np.ndarray
) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    best = captioner.generate(small[None], beam=4)[0]
    grounding = ground(captioner, photo, beam=4)
    assert grounding.caption == " ".join(best.words)
    assert grounding.logprob == pytest.approx(best.logprob, abs=1e-4)


def test_points_of_the_photo_are_points_of_the_input(captioner: Captioner, photo: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    ids = captioner.vocabulary.encode(CAPTION.split())
    inside = word_evidence(captioner, small, ids, positions=[1])[0]
    on_photo = ground(captioner, photo, CAPTION).words[1].fixations
    expected = np.rint((inside.points + 0.5) * [40 / 16, 60 / 16] - 0.5)
    np.testing.assert_array_equal(on_photo.points, expected)
    np.testing.assert_allclose(on_photo.weights, inside.weights)


def test_words_asked_together_and_alone_have_the_same_evidence(captioner: Captioner) -> None:
    image = np.random.default_rng(2).uniform(0, 255, (16, 16, 3))
    ids = captioner.vocabulary.encode(CAPTION.split())
    for method in ("evidence", "fixations"):
        together = word_evidence(captioner, image, ids, method=method)
        for j, fixations in enumerate(together):
            alone = word_evidence(captioner, image, ids, positions=[j], method=method)[0]
            np.testing.assert_array_equal(alone.points, fixations.points)
            np.testing.assert_allclose(alone.weights, fixations.weights, rtol=1e-5)


def test_unknown_words_are_explained_and_marked(captioner: Captioner, photo: np.ndarray) -> None:
    words = ground(captioner, photo, "A red Zeppelin!").words
    assert [(word.text, word.known) for word in words] == [("a", True), ("red", True), ("zeppelin", False)]


@pytest.mark.parametrize("caption", ["", "  ", "?!"])
def test_a_caption_without_words_is_refused(captioner: Captioner, photo: np.ndarray, caption: str) -> None:
    with pytest.raises(UserError, match="has no words; give at least one word"):
        ground(captioner, photo, caption)


def test_bad_settings_are_refused(captioner: Captioner, photo: np.ndarray) -> None:
    with pytest.raises(UserError, match="beam must be at least 1, got 0"):
        ground(captioner, photo, beam=0)
    with pytest.raises(TraceError, match="unknown method 'lime'; choose one of evidence, fixations"):
        ground(captioner, photo, CAPTION, method="lime")
    with pytest.raises(TraceError, match="share must be above 0 and at most 1, got 0"):
        ground(captioner, photo, CAPTION, share=0)
