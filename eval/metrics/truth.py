"""How well a number tells true words from false ones, and whether it is their probability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from gazeback.eval.metrics.statistics import Summary, jackknife

BINS = 10


def auroc(scores: np.ndarray, true: np.ndarray) -> float | None:
    """The area under the ROC curve: the probability that a true word has a larger score than a false one.

    It is Mann and Whitney's statistic; equal scores count as half. scores: float [n]; true: bool [n]. None
    without a true and a false word.
    """
    right, wrong = int(true.sum()), int((~true).sum())
    if not right or not wrong:
        return None
    return float((rankdata(scores)[true].sum() - right * (right + 1) / 2) / (right * wrong))


def auroc_of_groups(scores: np.ndarray, true: np.ndarray, groups: Sequence[str]) -> Summary | None:
    """The area with its standard error, by leaving out one group (a photo's words) at a time."""
    everything, number = auroc(scores, true), np.unique(np.array(groups, str), return_inverse=True)[1]
    if everything is None:
        return None
    kept = [number != group for group in range(number.max() + 1)]
    without = [auroc(scores[rows], true[rows]) for rows in kept]
    return jackknife(everything, [area for area in without if area is not None], len(scores))


@dataclass(frozen=True)
class Bin:
    """The words whose probability lies in a range: their number, mean probability, and fraction that is
    true."""

    first: float
    n: int
    probability: float
    true: float


def calibration(probabilities: np.ndarray, true: np.ndarray) -> list[Bin]:
    """The calibration curve: `BINS` ranges of equal width; ranges without words are left out."""
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [
        Bin(
            place / BINS,
            int((places == place).sum()),
            float(probabilities[places == place].mean()),
            float(true[places == place].mean()),
        )
        for place in np.unique(places).tolist()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015): the mean distance of
    probability and fraction, weighted by the number of words."""
    return sum(one.n * abs(one.probability - one.true) for one in bins) / sum(one.n for one in bins)
