"""Elementwise functions that are decreasing somewhere: ``x**2``, ``|x|``, ``1 / x``, ``c**x``, ``x**y``."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.activation import frozen_ratio
from gazeback.cnn_trace.rules.broadcasting import broadcast_back, operands, sum_back, values_at
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place; its sign flips where the function is decreasing."""
    if type(step.layer).__name__ in ("Square", "Absolute"):
        slope = values_at(step, evidence, step.input)
    else:
        slope = -np.ones(len(evidence))
    return [(step.input, evidence.turned(slope))]


def walk_power(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the base, or to the exponent of a constant; the sign flips where the power is
    decreasing."""
    base, exponent = (values_at(step, evidence, x) for x in operands(step.call))
    below = _followed(step)
    of_base = below is operands(step.call)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = exponent * np.power(base, exponent - 1) if of_base else np.log(base)
    return [(below, broadcast_back(step, evidence.turned(slope), below))]


def adjoint_power(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """Frozen: ``x**e`` as ``0**e + x * (x**e - 0**e) / x``, and ``c**x`` as ``1 + x * (c**x - 1) / x``."""
    base, exponent = operands(step.call)
    below = _followed(step)
    if below is base:
        power = step.value(exponent) if isinstance(exponent, Tensor) else as_array(exponent)
        at_zero = np.broadcast_to(power == 0, coefficients.shape).astype(np.float32)
    else:
        at_zero = np.ones(coefficients.shape, np.float32)
    y = step.value(step.output)
    z = np.broadcast_to(step.value(below), y.shape)
    bias = (coefficients * at_zero).reshape(len(coefficients), -1).sum(axis=1)
    return [(below, sum_back(step, coefficients * frozen_ratio(z, y, at_zero), below))], bias


def _followed(step: Step) -> Tensor:
    """The operand that depends on the image: the base if both do."""
    seen = [t for t in step.call.inputs if t.call is None or t.call.depends_on_image]
    return seen[0]
