"""The support of a caption's words: its cues, its file, and the captioner that it belongs to."""

import json
import math
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gazeback.models import bundled, load_captioner
from gazeback.models.captioner import Captioner
from gazeback.models.content_words import is_content, stem, stems
from gazeback.models.errors import ModelError
from gazeback.models.sampled_captions import expected_mentions
from gazeback.models.support import CUES, MEMBER, Support
from gazeback.models.vocabulary import Vocabulary
from gazeback.models.word_cues import ScoredCaption, available_cues, fingerprint, supported


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
    tables = (np.arange(words), random.random(words))
    return Support(tuple(CUES), *parts, np.array([0.25]), *tables, fingerprint(captioner))


def scored(captioner: Captioner, images: np.ndarray, text: str) -> ScoredCaption:
    ids = captioner.vocabulary.encode(text.split())
    return ScoredCaption.of(captioner, captioner.features(images[:1]), ids)


def test_content_words_and_stems():
    told = "two dogs are running and a 2nd man 's hat is on the snow"
    assert [word for word in told.split() if is_content(word)] == ["dogs", "running", "man", "hat", "snow"]
    assert stem("dogs") == stem("dog") != stem("cat")
    assert stems([["a", "dog"], ["dogs", "running"]]) == {"a", "dog", "run"}


def test_cues_by_hand(captioner, images):
    given = scored(captioner, images, "a red wolf and red photo")  # "wolf" and "and" are unknown
    stems_of_words, frequency = captioner.support.stems.copy(), captioner.support.frequency
    cues = given.cues(stems_of_words, frequency)
    assert given.content == [1, 4, 5]
    features, ids, photo, mean = given.features, given.ids, given.photo, given.mean
    red = captioner.vocabulary.encode(["red"])[0]
    whole = [photo[i, word] for i, word in enumerate(ids)]
    assert cues["logprob"].tolist() == [whole[1], whole[4], whole[5]]
    assert cues["visual"][1] == photo[4, red] - mean[4, red]
    assert cues["caption"].tolist() == [pytest.approx(sum(whole) / 6)] * 3
    assert cues["entropy"][0] == pytest.approx(-sum(math.exp(x) * x for x in photo[1]))
    assert cues["frequency"][0] == pytest.approx(math.log(frequency[red] + 0.003))
    assert cues["mentions"][0] == pytest.approx(
        math.log(expected_mentions(captioner, features, [np.array([red])])[0] + 0.003)
    )
    blue = captioner.vocabulary.encode(["blue"])[0]
    stems_of_words[blue] = stems_of_words[red]  # as if they were two forms of a word
    together = expected_mentions(captioner, features, [np.array([blue, red])])[0]
    assert given.cues(stems_of_words, frequency)["mentions"][0] == pytest.approx(math.log(together + 0.003))


def test_support_is_the_logistic_regression_of_the_content_words(captioner, images):
    given = scored(captioner, images, "a red wolf photo")
    found = given.supports()
    assert [value is None for value in found] == [True, False, True, False]
    support = captioner.support
    cues = given.cues(support.stems, support.frequency)
    z = support.bias[0] + sum(
        support.weights[i] * (cues[name][0] - support.mean[i]) / support.scale[i]
        for i, name in enumerate(CUES)
    )
    assert found[1] == pytest.approx(1 / (1 + math.exp(-z)))


def test_without_support_or_content_words_there_is_none(tiny_captioner, captioner, images):
    assert tiny_captioner.support is None
    assert scored(tiny_captioner, images, "a red photo").supports() == [None] * 3
    assert scored(captioner, images, "a a").supports() == [None] * 2


def test_a_captioner_without_an_average_picture_lacks_one_cue(captioner, images):
    blind = replace(captioner, mean_features=None)
    assert set(available_cues(captioner)) - set(available_cues(blind)) == {"visual"}
    found = scored(blind, images, "a red photo").cues(captioner.support.stems, captioner.support.frequency)
    assert set(found) == set(available_cues(blind))


def test_a_file_keeps_it(captioner, images, tmp_path):
    captioner.save(tmp_path / "mine.keras")
    loaded = load_captioner(tmp_path / "mine.keras")
    before, after = (scored(one, images, "a red photo").supports() for one in (captioner, loaded))
    assert after[1:] == pytest.approx(before[1:], abs=1e-5)


def test_another_captioner_does_not_get_it(captioner):
    other = replace(captioner, mean_features=captioner.mean_features + 1)
    assert supported(other, captioner.support).support is None
    assert supported(replace(captioner), captioner.support).support is captioner.support


@pytest.mark.parametrize("which", [bundled.EVERY_WORD, bundled.SHOW_AND_TELL])
def test_the_bundled_captioners_have_one(which):
    stored = np.load(bundled.WEIGHTS / f"{which}.npz")
    words = tuple(json.loads(str(stored["about"]))["words"])
    captioner = SimpleNamespace(vocabulary=Vocabulary(words), mean_features=stored["mean_features"])
    file = bundled.WEIGHTS / f"{which}_flickr8k_support.npz"
    assert supported(captioner, Support.read(file, str(file))).support.cues == tuple(CUES)


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
