"""Beam search against brute force over every caption of a tiny vocabulary."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazeback.models.beam_search import Hypothesis, beam_search
from gazeback.models.language_half import State, log_softmax

START, END, UNKNOWN = 0, 1, 2


class TableLanguage:
    """Random next-word probabilities for every prefix; the state of a row is its photo and its prefix."""

    def __init__(self, seed: int, words: int, sharpness: float) -> None:
        self.seed, self.size, self.sharpness = seed, words + 3, sharpness

    def start(self, features: np.ndarray) -> State:
        return features[:, 0].astype(int), np.zeros((len(features), 0), int)

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        photos, prefixes = state
        prefixes = np.concatenate([prefixes, words[:, None]], axis=1)
        log_p = [self.log_p(photo, prefix) for photo, prefix in zip(photos, prefixes, strict=True)]
        return np.stack(log_p), (photos, prefixes)

    def log_p(self, photo: int, prefix: np.ndarray) -> np.ndarray:
        random = np.random.default_rng([self.seed, int(photo), *map(int, prefix)])
        return log_softmax(self.sharpness * random.normal(size=self.size))

    def logprobs(self, photo: int, ids: tuple[int, ...]) -> list[float]:
        sentence = [START, *ids, END]
        return [
            float(self.log_p(photo, np.array(sentence[:i]))[sentence[i]]) for i in range(1, len(sentence))
        ]


def brute_force(
    language: TableLanguage, photo: int, max_words: int, normalisation: float
) -> list[tuple[float, tuple[int, ...]]]:
    """Every caption of at most ``max_words`` words with its score, best first."""
    captions = []
    for length in range(max_words + 1):
        for ids in product(range(3, language.size), repeat=length):
            captions.append((sum(language.logprobs(photo, ids)) / (length + 1) ** normalisation, ids))
    return sorted(captions, reverse=True)


def search(language: TableLanguage, photos: int, **options: Any) -> list[list[Hypothesis]]:
    features = np.arange(photos, dtype=float)[:, None]
    return beam_search(language, features, start=START, end=END, forbidden=(UNKNOWN,), **options)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    words=st.integers(1, 3),
    max_words=st.integers(1, 4),
    normalisation=st.sampled_from([0.0, 0.5, 1.0]),
    sharpness=st.sampled_from([0.1, 1.0, 4.0]),
    once=st.sets(st.integers(3, 5)),
)
def test_wide_beam_equals_exhaustive_search(seed, words, max_words, normalisation, sharpness, once):
    language = TableLanguage(seed, words, sharpness)
    beam = words**max_words  # every prefix fits into the beam
    found = search(
        language, 2, beam=beam, max_words=max_words, length_normalisation=normalisation, once=sorted(once)
    )
    for photo in range(2):
        every = brute_force(language, photo, max_words, normalisation)
        expected = [(score, ids) for score, ids in every if all(ids.count(word) < 2 for word in once)][:beam]
        np.testing.assert_allclose(
            [h.score for h in found[photo]], [score for score, _ in expected], atol=1e-9
        )
        assert [h.ids for h in found[photo]] == [ids for _, ids in expected]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), beam=st.integers(1, 4), max_words=st.integers(1, 5))
def test_every_result_is_a_complete_caption(seed, beam, max_words):
    language = TableLanguage(seed, 4, 3.0)
    for photo, found in enumerate(search(language, 3, beam=beam, max_words=max_words)):
        assert 1 <= len(found) <= beam
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for hypothesis in found:
            assert len(hypothesis.ids) <= max_words
            assert not {START, END, UNKNOWN} & set(hypothesis.ids)
            np.testing.assert_allclose(hypothesis.logprobs, language.logprobs(photo, hypothesis.ids))
            np.testing.assert_allclose(hypothesis.logprob, sum(hypothesis.logprobs))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), beam=st.integers(1, 3))
def test_photos_do_not_influence_one_another(seed, beam):
    language = TableLanguage(seed, 3, 2.0)
    together = search(language, 4, beam=beam, max_words=4)
    for photo in range(4):
        features = np.array([[float(photo)]])
        alone = beam_search(
            language, features, start=START, end=END, forbidden=(UNKNOWN,), beam=beam, max_words=4
        )
        assert [h.ids for h in alone[0]] == [h.ids for h in together[photo]]


def test_a_caption_that_never_wants_to_end_is_ended_at_the_limit():
    class Endless(TableLanguage):
        def log_p(self, photo, prefix):
            return log_softmax(np.array([0.0, -50.0, 0.0, 1.0, 0.5]))

    found = search(Endless(0, 2, 1.0), 1, beam=2, max_words=6, length_normalisation=1.0)
    assert found[0][0].ids == (3,) * 6


def test_a_likely_end_does_not_crowd_out_the_word():
    """The unfinished hypothesis stays in a beam of 1, although ending is more probable at first."""

    class LateReward(TableLanguage):
        def log_p(self, photo, prefix):
            with np.errstate(divide="ignore"):
                return np.log(
                    np.array([0.0, 0.6, 0.0, 0.4]) if len(prefix) == 1 else np.array([0, 1.0, 0, 0])
                )

    found = search(LateReward(0, 1, 1.0), 1, beam=1, max_words=3, length_normalisation=1.0)
    assert found[0][0].ids == (3,)


def test_no_photos_and_bad_options():
    language = TableLanguage(0, 2, 1.0)
    assert search(language, 0, beam=2) == []
    with pytest.raises(ValueError, match="beam and max_words are at least 1; got beam=0"):
        search(language, 1, beam=0)
