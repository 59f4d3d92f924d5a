import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazeback.eval.metrics.truth import Bin, auroc, auroc_of_groups, calibration, calibration_error


def by_pairs(scores, true):
    """The definition: over all pairs of a true and a false word, 1 if the true one has more, 1/2 if equal."""
    wins = [
        (a > b) + 0.5 * (a == b)
        for a, right in zip(scores, true, strict=True)
        for b, other in zip(scores, true, strict=True)
        if right and not other
    ]
    return sum(wins) / len(wins) if wins else None


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_the_area_is_that_of_all_pairs(words):
    scores, true = np.array([score for score, _ in words], float), np.array([is_true for _, is_true in words])
    assert auroc(scores, true) == pytest.approx(by_pairs(scores, true))


def test_the_area_by_hand_and_its_error():
    scores, true = np.array([0.9, 0.2, 0.6, 0.4]), np.array([True, False, True, False])
    assert auroc(scores, true) == 1
    assert auroc(-scores, true) == 0
    found = auroc_of_groups(scores, np.array([True, False, False, True]), ["a", "a", "b", "b"])
    # both words of the first photo are in order, those of the second are not
    assert (found.mean, found.n, found.groups) == (0.75, 4, 2)
    assert found.standard_error == pytest.approx(0.5)
    assert auroc_of_groups(scores, np.ones(4, bool), ["a"] * 4) is None


def test_the_calibration_by_hand():
    probabilities = np.array([0.02, 0.08, 0.55, 1.0])
    bins = calibration(probabilities, np.array([False, True, True, True]))
    assert bins == [Bin(0.0, 2, 0.05, 0.5), Bin(0.5, 1, 0.55, 1.0), Bin(0.9, 1, 1.0, 1.0)]
    assert calibration_error(bins) == pytest.approx((2 * 0.45 + 0.45 + 0) / 4)


def test_probabilities_that_hold_have_no_error():
    random = np.random.default_rng(0)
    probabilities = random.random(50_000)
    true = random.random(50_000) < probabilities
    assert calibration_error(calibration(probabilities, true)) < 0.01
