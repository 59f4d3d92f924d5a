"""Captioners as people have them: what they say when they are wrapped is what they said to their authors."""

import numpy as np
import pytest
from twins.own_captioners import (
    CAPTION,
    IDS,
    INDEX,
    KINDS,
    LENGTH,
    SCORES,
    SIDE,
    START,
    greedy,
    parameters,
    photo,
    scaled,
)

from gazeback.models import squeeze, wrap_captioner
from gazeback.models.photos import load_photo


@pytest.fixture(scope="module", params=parameters(KINDS))
def own(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def mine(own):
    return wrap_captioner(**own.arguments, preprocess=scaled, tokenizer=INDEX, mean=[photo(8), photo(9)])


@pytest.fixture(scope="module")
def images():
    return np.stack([squeeze(load_photo(photo(i, (30, 40))), SIDE).pixels for i in range(2)])


def test_log_probabilities_are_the_authors(own, mine, images):
    expected = [own.predict(scaled(images), [START, *IDS[:j]]) for j in range(len(IDS) + 1)]
    words = np.array([[START, *IDS]] * 2)
    found = mine.log_probabilities(mine.features(images), words)
    np.testing.assert_allclose(found, np.log(np.stack(expected, axis=1)), atol=1e-4)


def test_the_greedy_caption_is_the_authors(own, mine, images):
    for image in images:
        expected = greedy(own, scaled(image[None]))
        found = mine.generate(image[None], beam=1, max_words=LENGTH)[0]
        assert list(found.ids) == expected
        assert found.words == tuple(mine.vocabulary.decode(expected))


def test_a_beam_carries_the_log_probabilities_of_its_words(own, mine, images):
    best = mine.search(mine.features(images), beam=3, max_words=4)
    for row, found in enumerate(best):
        assert 1 <= len(found) <= 3
        for caption in found:
            words = np.array([[START, *caption.ids]])
            log_p = mine.log_probabilities(mine.features(images[row : row + 1]), words)[0]
            said = [*caption.ids, mine.vocabulary.end]
            expected = log_p[np.arange(len(said)), said]
            np.testing.assert_allclose(caption.logprobs, expected, atol=1e-4)
            assert not {0, START, mine.vocabulary.end} & set(caption.ids)


def test_the_last_map_is_found(mine):
    assert mine.features_layer.split("/")[-1] in ("last", "cnn", "own_cnn")
    assert mine.mean_features.shape == (5, 5, 5)
    assert mine.image_size == SIDE
    assert len(mine.vocabulary) == SCORES
    assert mine.vocabulary.tokenize(f"startseq {CAPTION}. endseq") == CAPTION.split()
