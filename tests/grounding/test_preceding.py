"""What the words before matter: removal against its definition, and the measures that packages register."""

from types import SimpleNamespace

import numpy as np
import pytest

from gazeback.grounding import preceding
from gazeback.grounding.preceding import measured, removal
from gazeback.models.errors import UserError

IDS = [3, 5, 4, 3, 7]


@pytest.fixture(scope="module")
def features(captioner):
    return captioner.features(np.random.default_rng(5).uniform(0, 255, (1, 16, 16, 3)))


def logprob(captioner, features, before, word):
    """log p(word | photo, words before), from the words before alone."""
    words = np.array([[captioner.vocabulary.start, *before]])
    return captioner.log_probabilities(features, words)[0, -1, word]


def test_removal_word_by_word(captioner, features):
    drops = removal(captioner, features, IDS)
    expected = np.zeros((5, 5))
    for j in range(5):
        for k in range(j):
            with_k = logprob(captioner, features, IDS[:j], IDS[j])
            expected[j, k] = with_k - logprob(captioner, features, IDS[:k] + IDS[k + 1 : j], IDS[j])
    np.testing.assert_allclose(drops, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_caption_of_one_word_has_none_before(captioner, features):
    np.testing.assert_array_equal(removal(captioner, features, [4]), [[0]])


def test_leaving_out_one_of_two_equal_neighbours_is_the_same_for_both(captioner, features):
    drops = removal(captioner, features, [3, 5, 5, 4])
    np.testing.assert_allclose(drops[3, 1], drops[3, 2], atol=1e-6)


@pytest.fixture
def register(monkeypatch):
    def register(**measures):
        entries = [SimpleNamespace(name=name, load=lambda m=m: m()) for name, m in measures.items()]
        monkeypatch.setattr(preceding, "entry_points", lambda group: entries)

    return register


def test_registered_measures_stand_beside_removal(captioner, features, register):
    image, asked = np.zeros((16, 16, 3)), []

    def explain(*arguments):
        asked.append(arguments)
        return np.eye(5)

    register(zeta=lambda: explain, alpha=lambda: lambda *_: np.ones((5, 5)))
    found = measured(captioner, image, features, IDS)
    assert list(found) == ["removal", "alpha", "zeta"]
    assert asked == [(captioner, image, IDS)]
    np.testing.assert_array_equal(found["zeta"], np.eye(5))


def test_a_registered_measure_that_is_broken_is_named(captioner, features, register):
    def missing():
        raise ImportError("No module named 'torch'")

    register(alpha=missing)
    with pytest.raises(UserError, match=r"measure 'alpha' of the words before cannot be loaded \(No module"):
        measured(captioner, None, features, IDS)
    register(alpha=lambda: lambda *_: np.ones(5))
    with pytest.raises(UserError, match=r"measure 'alpha' .* expected values \[5, 5\], got \[5\]"):
        measured(captioner, None, features, IDS)
