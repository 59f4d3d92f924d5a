"""Operators that reduce axes: sums and minima (means and maxima are global pools)."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.pooling import named_axes
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """A sum goes on to its largest term (negative sense: its smallest), a minimum to the smallest value."""
    values, axes = step.value(step.input), named_axes(step)
    kept = [axis for axis in range(values.ndim) if axis not in axes]
    keys = evidence.coordinates
    if keys.shape[1] == values.ndim:  # keepdims
        keys = keys[:, kept]
    last = np.moveaxis(values, axes, range(len(kept), values.ndim))
    sense = -np.ones(len(evidence)) if _is_minimum(step) else evidence.sense
    terms = last.reshape(*last.shape[: len(kept)], -1)[tuple(keys.T)]
    places = (terms * sense[:, None]).argmax(axis=1)
    coordinates = np.empty((len(evidence), values.ndim), np.int64)
    coordinates[:, kept] = keys
    coordinates[:, axes] = np.stack(np.unravel_index(places, last.shape[len(kept) :]), axis=1)
    return [(step.input, evidence.at(coordinates))]


def adjoint_sum(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """Every term takes the coefficient."""
    shape = (len(coefficients), *step.shape(step.input)[1:])
    return [(step.input, np.broadcast_to(_expanded(step, coefficients, shape), shape))], 0.0


def adjoint_min(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """Frozen: the coefficient belongs to the place of the minimum (the first one, if several)."""
    values, axes = step.value(step.input), named_axes(step)
    last = np.moveaxis(values, axes, range(values.ndim - len(axes), values.ndim))
    flat = last.reshape(*last.shape[: -len(axes)], -1)
    below = np.zeros(flat.shape, np.float32)
    found = flat.argmin(axis=-1)[..., None]
    np.put_along_axis(below, found, coefficients.reshape(found.shape), axis=-1)
    below = np.moveaxis(below.reshape(last.shape), range(values.ndim - len(axes), values.ndim), axes)
    return [(step.input, below)], 0.0


def _expanded(step: Step, coefficients: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    axes = named_axes(step)
    return coefficients.reshape([1 if axis in axes else size for axis, size in enumerate(shape)])


def _is_minimum(step: Step) -> bool:
    return type(step.layer).__name__ in ("Min", "Amin")
