from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from gazeback.models.sampled_captions import expected_mentions

START, END, UNKNOWN, DOG, DOGS, CAT = range(6)
NEXT = {  # p(next word | last word); what is missing is never said
    START: {DOG: 0.5, CAT: 0.25, END: 0.25},
    DOG: {DOG: 0.125, CAT: 0.125, END: 0.75},
    DOGS: {END: 1.0},
    CAT: {DOGS: 0.5, UNKNOWN: 0.25, END: 0.25},
}


@dataclass
class Chain:
    """A language half whose next word depends on the last one alone."""

    def start(self, features):
        return (np.zeros((len(features), 1)),)

    def step(self, state, words):
        p = np.zeros((len(words), 6))
        for row, word in zip(p, words.tolist(), strict=True):
            for following, chance in NEXT[word].items():
                row[following] = chance
        with np.errstate(divide="ignore"):
            return np.log(p), (state[0] + 1,)


def chain(max_words: int = 20) -> SimpleNamespace:
    vocabulary = SimpleNamespace(start=START, end=END)
    return SimpleNamespace(_steps=Chain(), vocabulary=vocabulary, unsaid=(UNKNOWN,), max_words=max_words)


def by_enumeration(words: set[int], last: int = START, left: int = 20) -> float:
    """The expected number of times that one of the words follows, summed over all captions. The unknown word
    is never said, so the chances of the others are divided by their sum when one is drawn."""
    if left == 0:
        return 0.0
    chances = {word: p for word, p in NEXT[last].items() if word != UNKNOWN}
    total = sum(chances.values())
    said = sum(p for word, p in chances.items() if word in words)
    going = {word: p / total for word, p in chances.items() if word != END}
    return said + sum(p * by_enumeration(words, word, left - 1) for word, p in going.items())


@pytest.mark.parametrize("max_words", [1, 2, 20])
def test_it_is_the_expectation_over_all_captions(max_words):
    groups = [np.array(group) for group in ([DOG, DOGS], [CAT], [UNKNOWN])]
    found = expected_mentions(chain(max_words), np.zeros((1, 2, 2, 3)), groups, drawn=20_000)
    expected = [by_enumeration(set(group.tolist()) - {UNKNOWN}, left=max_words) for group in groups]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_first_word_is_exact_and_the_draws_are_reproducible():
    features, dog = np.zeros((1, 2, 2, 3)), [np.array([DOG])]
    assert expected_mentions(chain(1), features, dog, drawn=1) == pytest.approx([0.5])
    one, again, other = (expected_mentions(chain(), features, dog, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
