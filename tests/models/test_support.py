"""The support of a caption's words: its cues, its file, and the captioner that it belongs to."""

import math
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from gazeback.models import load_captioner
from gazeback.models.captioner import Captioner
from gazeback.models.content_words import is_content, stem, stems
from gazeback.models.errors import ModelError
from gazeback.models.sampled_captions import expected_mentions
from gazeback.models.support import (
    CUES,
    MEMBER,
    Support,
    available_cues,
    fingerprint,
    supported,
    word_cues,
    word_scores,
    word_supports,
)


@pytest.fixture
def captioner(tiny_captioner: Captioner) -> Captioner:
    """The tiny captioner with a support."""
    one = replace(tiny_captioner)
    one.support = make_support(one)
    return one


def make_support(captioner: Captioner) -> Support:
    count, words = len(CUES), len(captioner.vocabulary.words)
    random = np.random.default_rng(1)
    parts = (random.normal(size=count), random.uniform(1, 2, count), random.normal(size=count))
    return Support(tuple(CUES), *parts, np.array([0.25]), random.random(words), fingerprint(captioner))


def caption_of(captioner: Captioner, images: np.ndarray, text: str):
    features = captioner.features(images[:1])
    ids = captioner.vocabulary.encode(text.split())
    return (captioner, features, ids, *word_scores(captioner, features, ids))


def test_content_words_and_stems():
    told = "two dogs are running and a 2nd man 's hat is on the snow"
    assert [word for word in told.split() if is_content(word)] == ["dogs", "running", "man", "hat", "snow"]
    assert stem("dogs") == stem("dog") != stem("cat")
    assert stems([["a", "dog"], ["dogs", "running"]]) == {"a", "dog", "run"}


def test_cues_by_hand(captioner, images):
    given = caption_of(captioner, images, "a red wolf and red photo")  # "wolf" and "and" are unknown
    frequency = captioner.support.frequency
    positions, cues = word_cues(*given, frequency)
    assert positions == [1, 4, 5]
    _, features, ids, photo, mean = given
    red = captioner.vocabulary.encode(["red"])[0]
    whole = [photo[i, word] for i, word in enumerate(ids)]
    assert cues["logprob"].tolist() == [whole[1], whole[4], whole[5]]
    assert cues["visual"][1] == photo[4, red] - mean[4, red]
    assert cues["caption"].tolist() == [pytest.approx(sum(whole) / 6)] * 3
    assert cues["entropy"][0] == pytest.approx(-sum(math.exp(x) * x for x in photo[1]))
    assert cues["frequency"][0] == pytest.approx(math.log(frequency[red] + 0.003))
    assert cues["mentions"][0] == pytest.approx(
        math.log(expected_mentions(captioner, features, [[red]])[0] + 0.003)
    )


def test_support_is_the_logistic_regression_of_the_content_words(captioner, images):
    given = caption_of(captioner, images, "a red wolf photo")
    found = word_supports(*given)
    assert [value is None for value in found] == [True, False, True, False]
    support = captioner.support
    _, cues = word_cues(*given, support.frequency)
    z = support.bias[0] + sum(
        support.weights[i] * (cues[name][0] - support.mean[i]) / support.scale[i]
        for i, name in enumerate(CUES)
    )
    assert found[1] == pytest.approx(1 / (1 + math.exp(-z)))


def test_without_support_or_content_words_there_is_none(tiny_captioner, captioner, images):
    assert tiny_captioner.support is None
    assert word_supports(*caption_of(tiny_captioner, images, "a red photo")) == [None] * 3
    assert word_supports(*caption_of(captioner, images, "a a")) == [None] * 2


def test_a_captioner_without_an_average_picture_lacks_one_cue(captioner, images):
    blind = replace(captioner, mean_features=None)
    assert set(available_cues(captioner)) - set(available_cues(blind)) == {"visual"}
    given = caption_of(blind, images, "a red photo")
    assert set(word_cues(*given, captioner.support.frequency)[1]) == set(available_cues(blind))


def test_a_file_keeps_it(captioner, images, tmp_path):
    captioner.save(tmp_path / "mine.keras")
    loaded = load_captioner(tmp_path / "mine.keras")
    before, after = (word_supports(*caption_of(one, images, "a red photo")) for one in (captioner, loaded))
    assert after[1:] == pytest.approx(before[1:], abs=1e-5)


def test_another_captioner_does_not_get_it(captioner):
    other = replace(captioner, mean_features=captioner.mean_features + 1)
    assert supported(other, captioner.support).support is None
    assert supported(replace(captioner), captioner.support).support is captioner.support


def test_a_broken_file_is_named(captioner, tmp_path):
    path = tmp_path / "mine.keras"
    captioner.save(path)
    broken = replace(captioner.support, weights=np.full(len(CUES), np.nan))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for data, expected in (
        (b"nonsense", "no complete zip archive"),
        (broken.to_bytes(), "damaged: its numbers are not finite"),
        (replace(broken, cues=("a",)).to_bytes(), "not a support of this version"),
        (members["gazeback.npz"], "expected the support of a captioner's words"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (members | {MEMBER: data}).items():
                archive.writestr(name, content)
        with pytest.raises(ModelError, match=expected):
            load_captioner(path)
