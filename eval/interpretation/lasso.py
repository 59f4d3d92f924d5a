"""The µ-Lasso: least squares with a bound on the L1 norm of each class's weights.

It minimises ||X W - L||_F^2 subject to ||w_j||_1 <= mu for every class j (Oramas et al. 2019, equation 1).
The solver is the spectral projected gradient of Birgin, Martinez, Raydan, *Nonmonotone spectral projected
gradient methods on convex sets*, 2000. Van den Berg and Friedlander, *Probing the Pareto frontier for basis
pursuit solutions*, 2008, use it for this problem.

Few features get a weight. So the steps are made on a working set of each class, which grows by the features
with the steepest gradient until the gap to the minimum of the whole problem is closed. The classes have only
X in common, so all are solved at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gazeback.models.errors import UserError

ADDED = 32  # features by which a working set grows
ROWS = 512  # rows of X that are in memory at once
STEPS = 300  # steps on one working set
MEMORY = 10  # the number of earlier values that the line search uses (M of Birgin et al., section 4)
SUFFICIENT = 1e-4  # gamma there
HALVINGS = 50
TINY = np.finfo(float).tiny


class Rows(Protocol):
    """A matrix that is read a few rows at a time: an array, or a part of a memory-mapped array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Solution:
    """The solution of the µ-Lasso.

    weights: float64 [D, classes]. objective: float64 [classes], the squared errors. gap: float64 [classes],
    an upper bound on the distance of the objective from the minimum. rounds: the number of working sets.
    """

    weights: np.ndarray
    objective: np.ndarray
    gap: np.ndarray
    rounds: int


def solve(
    responses: Rows, labels: np.ndarray, mu: float, tolerance: float = 1e-6, rounds: int = 200
) -> Solution:
    """Find the weights of least squared error within the L1 balls of radius mu.

    Args:
        responses: X, float [n, D], one row for each image; read a few rows at a time, so that a memory-mapped
            array may be larger than the memory.
        labels: L, float or bool [n, classes].
        mu: the bound on the L1 norm of a class's weights.
        tolerance: the largest accepted gap to the minimum, as a fraction of ||l_j||^2.
        rounds: the largest number of working sets; the solution's gap is what remains.

    Raises:
        UserError: mu is not positive, there are fewer images than classes, or a response is not finite.
    """
    _check(responses, labels, mu)
    target = np.asarray(labels, float)
    enough = tolerance * np.square(target).sum(axis=0)
    weights = np.zeros((responses.shape[1], target.shape[1]))
    for done in range(rounds + 1):
        objective, gradient = _objective(responses, target, weights)
        gap = (weights * gradient).sum(axis=0) + mu * np.abs(gradient).max(axis=0)
        if done == rounds or (gap <= enough).all():
            break
        sets = _working_sets(weights, gradient)
        gram, moment = _normal_equations(responses, target, sets)
        classes = np.arange(len(sets))[:, None]
        found = spectral_projected_gradient(gram, moment, weights[sets, classes], mu, enough / 2)
        found = np.stack([on_face(*one, mu) for one in zip(gram, moment, found, strict=True)])
        weights = np.zeros_like(weights)
        weights[sets, classes] = found
    return Solution(weights, objective, gap, done)


def project(points: np.ndarray, radius: float) -> np.ndarray:
    """Project each row of float [m, n] onto the L1 ball, exactly.

    Duchi et al., *Efficient projections onto the l1-ball for learning in high dimensions*, 2008, figure 1.
    """
    sizes = np.abs(points)
    ordered = -np.sort(-sizes, axis=1)
    above = np.cumsum(ordered, axis=1) - radius
    kept = (ordered * np.arange(1, points.shape[1] + 1) > above).sum(axis=1)
    threshold = above[np.arange(len(points)), kept - 1] / kept
    return np.sign(points) * np.maximum(sizes - np.maximum(threshold, 0)[:, None], 0)


def spectral_projected_gradient(
    gram: np.ndarray, moment: np.ndarray, start: np.ndarray, mu: float, enough: np.ndarray
) -> np.ndarray:
    """Minimise `v G v - 2 m v` within the L1 ball, for several problems at once (SPG2 of Birgin et al.).

    `gram` G float [m, s, s], `moment` m and `start` float [m, s]; `enough` float [m], the gaps to stop at.
    The objective is a parabola along each step, so the line search needs no further product.
    """
    point, gradient = start, 2 * (_times(gram, start) - moment)
    value = _along(gradient - 2 * moment, point) / 2
    best, best_value = point, value
    seen = np.full((MEMORY, len(value)), -np.inf)
    length = 1 / np.maximum(np.abs(gradient).max(axis=1), TINY)
    for step in range(STEPS):
        if (_along(gradient, point) + mu * np.abs(gradient).max(axis=1) <= enough).all():
            return point
        seen[step % MEMORY] = value
        direction = project(point - length[:, None] * gradient, mu) - point
        change = 2 * _times(gram, direction)
        slope, curvature = _along(gradient, direction), _along(change, direction) / 2
        share = _line_search(slope, curvature, seen.max(axis=0) - value)
        point = point + share[:, None] * direction
        gradient = gradient + share[:, None] * change
        value = value + share * slope + share**2 * curvature
        best = np.where((value < best_value)[:, None], point, best)
        best_value = np.minimum(value, best_value)
        # Barzilai and Borwein's step: <s, s> / <s, y> with s the step and y the change of the gradient.
        length = _along(direction, direction) / np.maximum(2 * curvature, TINY)
    return best


def on_face(gram: np.ndarray, moment: np.ndarray, point: np.ndarray, mu: float) -> np.ndarray:
    """Move a point float [s] of the L1 ball to the minimum of `v G v - 2 m v` on its face of the ball.

    Steps along the gradient find the face, which is the features with a weight and their signs. On the face
    they are slow if features are correlated. There the minimum solves a linear system. A weight whose sign
    would flip on the way stays at zero (an active-set method, as that of Osborne, Presnell, Turlach 2000).
    """
    point = point.copy()
    for _ in range(len(point)):
        used = np.flatnonzero(point)
        if not len(used):
            break
        signs, before = np.sign(point[used]), point[used]
        bounded = np.abs(before).sum() > mu * (1 - 1e-9)
        after = _minimum(gram[np.ix_(used, used)], moment[used], signs if bounded else None, mu)
        turning = signs * after < 0
        shares = np.where(turning, before / np.where(turning, before - after, 1), 1.0)
        share = shares.min()
        moved = before + share * (after - before)
        moved[turning & (shares == share)] = 0
        if np.abs(moved).sum() > mu * (
            1 + 1e-9
        ):  # the step leaves the ball from inside: the gradient steps do this
            break
        point[used] = moved
        if share == 1:
            break
    return point


def _minimum(gram: np.ndarray, moment: np.ndarray, signs: np.ndarray | None, mu: float) -> np.ndarray:
    """Find the minimum of `v G v - 2 m v`, with `signs v = mu` if there are signs (Lagrange's equations)."""
    if signs is None:
        found: np.ndarray = np.linalg.lstsq(gram, moment, rcond=None)[0]
        return found
    equations = np.block([[gram, signs[:, None]], [signs[None], np.zeros((1, 1))]])
    found = np.linalg.lstsq(equations, np.append(moment, mu), rcond=None)[0][:-1]
    return found


def _line_search(slope: np.ndarray, curvature: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """Find the length of each step: halved until the value is sufficiently below the largest recent one.

    slack: the largest recent value minus the current one.
    """
    share = np.ones_like(slope)
    for _ in range(HALVINGS):
        long = share * slope + share**2 * curvature > slack + SUFFICIENT * share * slope
        if not long.any():
            break
        share = np.where(long, share / 2, share)
    return share


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    product: np.ndarray = np.matmul(matrices, vectors[:, :, None])[:, :, 0]
    return product


def _along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    product: np.ndarray = np.einsum("ms,ms->m", one, other)
    return product


def _check(responses: Rows, labels: np.ndarray, mu: float) -> None:
    images, classes = labels.shape
    if not (np.isfinite(mu) and mu > 0):
        raise UserError(f"mu must be a positive number, got {mu:g}: it is how much weight a class may give")
    if images < classes:
        raise UserError(
            f"{images} images for {classes} classes: expected at least as many images as classes; "
            "add images or leave classes out"
        )
    if responses.shape[0] != images:
        raise ValueError(f"expected a row of responses for each of {images} images, got {responses.shape[0]}")
    if not all(np.isfinite(responses[rows]).all() for rows in _blocks(images)):
        raise UserError("some responses of the network are NaN or infinite")


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(first, first + ROWS) for first in range(0, rows, ROWS))


def _objective(responses: Rows, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the squared errors of the classes, float [classes], and their gradients, float [D, classes]."""
    objective, gradient = np.zeros(target.shape[1]), np.zeros_like(weights)
    used = np.flatnonzero(weights.any(axis=1))
    for rows in _blocks(len(target)):
        x = np.asarray(responses[rows], float)
        error = x[:, used] @ weights[used] - target[rows]
        objective += np.square(error).sum(axis=0)
        gradient += 2 * x.T @ error
    return objective, gradient


def _working_sets(weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """For each class, the features with a weight and those with the steepest gradient: int [classes, s]."""
    used = weights != 0
    size = min(int(used.sum(axis=0).max()) + ADDED, len(weights))
    order = np.argsort(-np.where(used, np.inf, np.abs(gradient)), axis=0, kind="stable")
    return np.ascontiguousarray(order[:size].T)


def _normal_equations(responses: Rows, target: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute X'X and X'l of the columns of each working set: float [classes, s, s] and [classes, s]."""
    classes, size = sets.shape
    gram, moment = np.zeros((classes, size, size)), np.zeros((classes, size))
    for rows in _blocks(len(target)):
        x = np.asarray(responses[rows], float)
        for one, columns in enumerate(sets):
            part = x[:, columns]
            gram[one] += part.T @ part
            moment[one] += part.T @ target[rows, one]
    return gram, moment
