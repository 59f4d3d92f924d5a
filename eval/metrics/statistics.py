"""Means with standard errors over independent groups, and correlations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata


def correlation(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Pearson's correlation of two maps as a record; empty if a map is uniform (or empty), so that it is
    undefined."""
    if min(float(np.ptp(first)), float(np.ptp(second))) == 0:
        return {}
    return {"correlation": float(np.corrcoef(first.ravel(), second.ravel())[0, 1])}


@dataclass(frozen=True)
class Summary:
    """Mean of `n` values, with its standard error over `groups` independent groups; None if undefined."""

    n: int
    groups: int
    mean: float | None
    standard_error: float | None

    def as_json(self) -> dict[str, float | int | None]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{_short(self.mean)} ± {_short(self.standard_error)}" if self.n else "-"


def _short(value: float | None) -> str:
    """Format a number with three decimals and without a leading zero, as papers print fractions."""
    if value is None:
        return "-"
    text = f"{round(value, 3) + 0.0:.3f}"  # + 0.0: a number that rounds to zero has no sign
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


class Mean:
    """Running mean of values in groups, such as the phrases of one photo; only the groups are independent.

    The standard error is the cluster-robust one (Liang and Zeger 1986, for a mean): with S_g the sum of the
    deviations from the mean in group g of G, `sqrt(G / (G - 1) * sum(S_g ** 2)) / n`. With one value in each
    group it is the usual `standard deviation / sqrt(n)`. Memory grows with the groups, not with the values.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sums: dict[object, tuple[float, int]] = {}

    def update(self, values: float | Iterable[float], group: object) -> None:
        """Add one value or several of one group; a group may come again."""
        values = np.atleast_1d(np.asarray(values, np.float64))
        total, n = self._sums.get(group, (0.0, 0))
        if values.size:
            self._sums[group] = (total + float(values.sum()), n + values.size)

    def summary(self) -> Summary:
        groups = len(self._sums)
        if groups == 0:
            return Summary(0, 0, None, None)
        sums, sizes = np.array(list(self._sums.values())).T
        n = int(sizes.sum())
        mean = sums.sum() / n
        if groups == 1:
            return Summary(n, 1, float(mean), None)
        spread = np.square(sums - sizes * mean).sum()
        return Summary(n, groups, float(mean), float(np.sqrt(groups / (groups - 1) * spread) / n))


def grouped_mean(values: Mapping[Any, float | Iterable[float] | None]) -> Summary:
    """The mean of the values of each group, as of `Mean`; a group whose value is None does not count."""
    mean = Mean()
    for group, of_group in values.items():
        if of_group is not None:
            mean.update(of_group, group)
    return mean.summary()


def jackknife(everything: float, without_each: Sequence[float] | np.ndarray, n: int | None = None) -> Summary:
    """A figure of everything together with its standard error, from the figures without each group.

    The error is `sqrt((G - 1) / G * sum((value - mean) ** 2))` over G groups (Efron and Tibshirani 1993,
    section 11.1). `n` is how many values there are, if not one in each group.
    """
    groups = len(without_each)
    error = float(np.sqrt((groups - 1) * np.var(without_each))) if groups > 1 else None
    return Summary(groups if n is None else n, groups, everything, error)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of x and y, float [n]; ties have their mean rank. It is 0 if x or y is
    constant.
    """
    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (x, y)]
    norm = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1] / norm) if norm > 0 else 0.0
