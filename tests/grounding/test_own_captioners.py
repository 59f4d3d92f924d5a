"""Captioners as people have them, explained: exact sums, and for each word pixels, share and words before."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from twins.exact_words import sums_and_logits
from twins.own_captioners import (
    CAPTION,
    IDS,
    INDEX,
    KINDS,
    LENGTH,
    SIDE,
    START,
    merge,
    parameters,
    photo,
    scaled,
)

from gazeback.cnn_trace import METHODS, MissingRule
from gazeback.grounding import ground, word_evidence
from gazeback.models import squeeze, wrap_captioner
from gazeback.models.photos import load_photo

if keras.backend.backend() == "tensorflow":
    import tensorflow

SIZE = (40, 60)


@pytest.fixture(scope="module", params=parameters(KINDS))
def own(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def mine(own):
    return wrap_captioner(**own.arguments, preprocess=scaled, tokenizer=INDEX, mean=[photo(8), photo(9)])


@pytest.fixture(scope="module")
def pixels():
    return squeeze(load_photo(photo(5, SIZE)), SIDE).pixels


@pytest.fixture(scope="module")
def grounding(mine):
    return ground(mine, photo(5, SIZE), CAPTION)


def test_the_contributions_sum_to_each_words_logit(mine, pixels):
    np.testing.assert_allclose(*sums_and_logits(mine, pixels, IDS), rtol=1e-4, atol=1e-4)


def test_each_word_has_its_figures(own, mine, grounding, pixels):
    assert [word.text for word in grounding.words] == CAPTION.split()
    blank = mine.mean_features[None]
    language = mine.log_probabilities(blank, np.array([[START, *IDS]]))[0]
    for j, word in enumerate(grounding.words):
        p = own.predict(scaled(pixels[None]), [START, *IDS[:j]])[0]
        assert word.logprob == pytest.approx(np.log(p[IDS[j]]), abs=1e-4)
        assert word.language == pytest.approx(language[j, IDS[j]], abs=1e-5)
        assert word.logprob == word.visual + word.language
        assert word.visual_share == max(0.0, 1 - np.exp(-word.visual))
        assert len(word.preceding) == j
        assert word.fixations.shape == SIZE
        assert word.text not in dict(word.runners_up)
        assert not {"startseq", ""} & set(dict(word.runners_up))


def test_each_word_before_contributes(mine, grounding):
    """Where only attention, which counts as constant, knows of the others, the last word alone does."""
    reach = 1 if mine.name.startswith("bahdanau") else len(IDS)
    for j, word in enumerate(grounding.words):
        assert np.isfinite(word.preceding).all()
        assert all(word.preceding[max(0, j - reach) :])


@pytest.mark.parametrize(
    "methods", [("evidence", "fixations"), pytest.param(METHODS, marks=pytest.mark.slow)]
)
def test_methods_find_points(methods, mine, pixels):
    for method in methods:
        # drawn neurons are shared by all words that are asked about; all neurons are not drawn
        own = {"neurons": "all"} if method == "evidence" else {}
        found = word_evidence(mine, pixels, IDS, positions=[1, 3], method=method, **own)
        assert len(found) == 2
        assert all(one.shape == (SIDE, SIDE) for one in found)
        alone = word_evidence(mine, pixels, IDS, positions=[3], method=method, **own)[0]
        np.testing.assert_array_equal(alone.points, found[1].points)


def test_it_is_written(mine, tmp_path):
    grounding = ground(mine, photo(6, SIZE), "a dog")
    paths = grounding.save(tmp_path)
    assert json.loads(paths["json"].read_text())["caption"] == grounding.caption


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a TensorFlow function")
def test_without_a_rule_the_message_offers_what_needs_none_and_that_runs(tmp_path):
    own = merge()
    encoder, words = own.arguments["encoder"], keras.Input((LENGTH,))
    sorted_features = layers.Lambda(lambda x: tensorflow.sort(x, axis=-1))(encoder.output)
    scores = own.arguments["decoder"]([sorted_features, words])
    model = keras.Model([encoder.input, words], scores)
    mine = wrap_captioner(model, preprocess=scaled, tokenizer=INDEX)
    with pytest.raises(MissingRule, match="choose a method that needs none: occlusion, saliency"):
        ground(mine, photo(5, SIZE), CAPTION)
    found = ground(mine, photo(5, SIZE), CAPTION, methods=["occlusion", "saliency"])
    assert all(word.fixations is None and set(word.maps) == {"occlusion", "saliency"} for word in found.words)
    read = json.loads(found.save(tmp_path)["json"].read_text())
    assert read["method"] == "occlusion"
    assert all(word["points"] == [] and np.ptp(word["map"]) > 0 for word in read["words"])
