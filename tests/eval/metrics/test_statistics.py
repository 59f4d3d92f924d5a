"""Means with clustered errors, the jackknife, and correlations: by hand and against scipy."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from gazeback.eval.metrics.statistics import Mean, Summary, correlation, grouped_mean, jackknife, spearman

RANDOM = np.random.default_rng(5)


def test_standard_error_of_independent_values_is_the_familiar_one():
    values = [0.1, 0.5, 0.4, 0.9]
    mean = Mean()
    for i, value in enumerate(values):
        mean.update(value, group=i)
    error = np.std(values, ddof=1) / 2
    assert mean.summary() == Summary(4, 4, pytest.approx(0.475), pytest.approx(error))


def test_hand_computed_standard_error_of_groups():
    mean = Mean()
    mean.update([1.0, 1.0, 1.0], group="photo")
    mean.update(0.0, group="another photo")
    # mean 3/4; deviations' sums are 3/4 and -3/4; sqrt(2 * 2 * 9/16) / 4 = 3/8
    assert mean.summary() == Summary(4, 2, 0.75, 0.375)


def test_repeating_every_value_within_its_group_changes_neither_mean_nor_error():
    once, thrice = Mean(), Mean()
    for group, value in enumerate(RANDOM.random(9)):
        once.update(value, group)
        thrice.update([value] * 3, group)
    assert thrice.summary().n == 27
    assert thrice.summary().standard_error == pytest.approx(once.summary().standard_error)


def test_a_group_may_come_in_pieces():
    pieces, whole = Mean(), Mean()
    for value in (0.25, 0.5):
        pieces.update(value, "a")
    pieces.update(1.0, "b")
    whole.update([0.25, 0.5], "a")
    whole.update(1.0, "b")
    assert pieces.summary() == whole.summary()


def test_figures_are_printed_as_papers_print_shares():
    assert str(Summary(9, 9, 0.1234, 0.0101)) == ".123 ± .010"
    assert str(Summary(9, 9, -0.0504, 10.0)) == "-.050 ± 10.000"
    assert str(Summary(9, 9, -10.01, 0.0)) == "-10.010 ± .000"


def test_without_enough_values_the_summary_says_none():
    mean = Mean()
    assert mean.summary() == Summary(0, 0, None, None)
    assert str(mean.summary()) == "-"
    mean.update([], "a")
    assert mean.summary().n == 0
    mean.update([1.0, 0.0], "a")
    assert mean.summary() == Summary(2, 1, 0.5, None)
    assert str(mean.summary()) == ".500 ± -"
    mean.reset()
    assert mean.summary().n == 0


def test_a_grouped_mean_is_the_mean_of_the_groups_values():
    values = {"a": [0.25, 0.5], "b": 1.0, "c": None, "d": [], "e": np.array([0.0])}
    mean = Mean()
    for group in ("a", "b", "e"):
        mean.update(values[group], group)
    assert grouped_mean(values) == mean.summary()
    assert grouped_mean({"c": None}) == Summary(0, 0, None, None)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.array([1.0, 4.0, 2.0, 7.0])
    found = jackknife(values.mean(), (values.sum() - values) / 3)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / 2)
    assert jackknife(1.0, np.array([0.0])).standard_error is None
    assert jackknife(1.0, [0.5, 0.7], 9) == Summary(9, 2, 1.0, pytest.approx(0.1))


def test_spearman_is_scipys_and_zero_where_nothing_is_ranked():
    rng = np.random.default_rng(0)
    for n in (6, 10, 50):
        x, y = rng.normal(size=n), rng.integers(0, 4, n).astype(float)
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert spearman(np.array([1.0, 2, 9]), np.array([-5.0, 0, 0.1])) == pytest.approx(1)
    assert spearman(np.ones(3), np.arange(3.0)) == 0


def test_the_correlation_is_pearsons_and_not_defined_for_a_uniform_map():
    one, other = RANDOM.random((2, 5, 7))
    found = correlation(one, other)
    assert found == {"correlation": pytest.approx(pearsonr(one.ravel(), other.ravel()).statistic)}
    assert correlation(one, np.ones((5, 7))) == {}
