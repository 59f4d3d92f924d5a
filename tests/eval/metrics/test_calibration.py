"""The expected calibration error against a slow twin."""

import numpy as np
import pytest

from gazeback.eval.metrics.calibration import BINS, calibration_error, reliability_bins


def slow_error(probabilities, came_true):
    """Guo et al. 2017, equation 3, one bin after the other."""
    error = 0.0
    for number in range(BINS):
        last = number == BINS - 1
        inside = [
            i
            for i, p in enumerate(probabilities)
            if number / BINS <= p and (p < (number + 1) / BINS or (last and p <= 1))
        ]
        if inside:
            accuracy = np.mean([came_true[i] for i in inside])
            confidence = np.mean([probabilities[i] for i in inside])
            error += len(inside) / len(probabilities) * abs(accuracy - confidence)
    return error


def test_it_equals_the_slow_twin_and_bins_add_up():
    random = np.random.default_rng(1)
    probabilities = np.append(random.random(200), 1.0)
    came_true = random.random(201) < probabilities**2
    whole = reliability_bins(probabilities, came_true)
    parts = [
        *reliability_bins(probabilities[:70], came_true[:70]),
        *reliability_bins(probabilities[70:], came_true[70:]),
    ]
    expected = pytest.approx(slow_error(probabilities, came_true))
    assert calibration_error(whole) == expected
    assert calibration_error(parts) == expected
    assert calibration_error([]) is None


def test_sure_and_right_has_no_error():
    assert calibration_error(reliability_bins(np.ones(4), np.ones(4))) == 0
    assert calibration_error(reliability_bins(np.ones(4), np.zeros(4))) == 1
