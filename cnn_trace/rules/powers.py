"""Elementwise operators that may fall where their input rises: squares, powers, reciprocals."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """In place; where the function falls, a high output means a low input: the sense turns."""
    values = step.value(step.input)[tuple(evidence.coordinates.T)]
    return [(step.input, evidence.turned(np.where(_slope(step, values) < 0, -1, 1)))]


def _slope(step: Step, values: np.ndarray) -> np.ndarray:
    """A number with the sign of the derivative at each value."""
    kind = type(step.layer).__name__
    if kind in ("Square", "Absolute"):
        return values
    if kind in ("Reciprocal", "Rsqrt"):
        return -np.ones_like(values)
    return _slope_of_power(step, values)


def _slope_of_power(step: Step, values: np.ndarray) -> np.ndarray:
    base, exponent = step.call.arguments
    if isinstance(base, Tensor) and isinstance(exponent, Tensor):
        raise TraceError(f"{step.call.name!r} raises a tensor to a tensor, for which there is no rule")
    if isinstance(exponent, Tensor):
        return np.log(as_array(base)) * np.ones_like(values)
    power = float(as_array(exponent))
    with np.errstate(divide="ignore", invalid="ignore"):
        return power * np.power(values, power - 1)
