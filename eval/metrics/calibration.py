"""How well probabilities agree with how often they come true.

Source: Guo, Pleiss, Sun, Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017, equations 2, 3.
"""

from collections.abc import Iterable

import numpy as np

BINS = 10


def reliability_bins(probabilities: np.ndarray, came_true: np.ndarray) -> np.ndarray:
    """Sort predictions by their probability into ten bins of equal width: float64 ``[BINS, 3]``.

    A row holds the number of predictions, the sum of their probabilities, and how many came true. The bins of
    several sets of predictions add up.
    """
    bins = np.minimum((np.asarray(probabilities) * BINS).astype(int), BINS - 1)
    columns = (np.ones(len(bins)), probabilities, came_true)
    return np.stack([np.bincount(bins, weights=column, minlength=BINS) for column in columns], axis=1)


def calibration_error(bins: Iterable[Iterable[float]]) -> float | None:
    """The expected calibration error, from the rows of one or more :func:`reliability_bins`: the mean
    distance between probability and frequency in a bin, weighted by its predictions; None without any.
    """
    counts, probabilities, came_true = np.reshape(list(bins), (-1, BINS, 3)).sum(axis=0).T
    return float(np.abs(probabilities - came_true).sum() / counts.sum()) if counts.sum() else None
