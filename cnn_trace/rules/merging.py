"""Layers and operators that add or subtract branches and constants, or take the larger or smaller one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.broadcasting import (
    broadcast_back,
    constants,
    inner,
    number,
    operands,
    sum_back,
    values_at,
)
from gazeback.cnn_trace.rules.linear import Elementwise
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Below = tuple[list[tuple[Tensor, np.ndarray]], Any]


def walk_add(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the branch with the larger value (the smaller one, if the sign is flipped).

    *CNN Fixations*, section III, on residual networks. A constant operand is no branch.
    """
    if len(step.call.inputs) == 1:
        return [(step.input, broadcast_back(step, evidence, step.input))]
    values = np.stack([values_at(step, evidence, tensor) for tensor in step.call.inputs], axis=1)
    return [
        (tensor, broadcast_back(step, part, tensor))
        for tensor, part in zip(step.call.inputs, shared(step, evidence, selection, values), strict=True)
    ]


def shared(step: Step, evidence: Evidence, selection: CNNFixations, values: np.ndarray) -> Iterator[Evidence]:
    """Divide evidence among the terms of a sum; its coordinates stay those of the output.

    Args:
        step: the call.
        evidence: on its output, ``n`` neurons.
        selection: which terms are kept.
        values: the values of the terms at these neurons, ``[n, terms]``.
    """
    rows, terms, weights = selection.terms(values, evidence, step)
    for term in range(values.shape[1]):
        yield evidence.shared(rows[terms == term], weights[terms == term], unique=True)


def adjoint_add(step: Step, coefficients: np.ndarray) -> Below:
    """Each operand gets the coefficient; the part of a constant operand is a bias term."""
    return [(t, sum_back(step, coefficients, t)) for t in step.call.inputs], _constant_part(
        step, coefficients
    )


def adjoint_average(step: Step, coefficients: np.ndarray) -> Below:
    """Each of n branches gets the coefficient divided by n; the part of a constant operand is a bias term."""
    share = coefficients / len(operands(step.call))
    below = [(tensor, sum_back(step, share, tensor)) for tensor in step.call.inputs]
    return below, _constant_part(step, share)


def walk_extreme(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the branch that is the maximum (minimum), whatever its sign."""
    if len(step.call.inputs) == 1:
        return [(step.input, broadcast_back(step, evidence, step.input))]
    values = np.stack([values_at(step, evidence, tensor) for tensor in step.call.inputs], axis=1)
    branch = (values if _is_maximum(step) else -values).argmax(axis=1)
    return [
        (tensor, broadcast_back(step, evidence.take(branch == b, unique=True), tensor))
        for b, tensor in enumerate(step.call.inputs)
    ]


def adjoint_extreme(step: Step, coefficients: np.ndarray) -> Below:
    """The branch that is the maximum (minimum) gets the coefficient; a constant's part is a bias term."""
    full = [step.value(x) if isinstance(x, Tensor) else number(x) for x in operands(step.call)]
    values = np.stack([np.broadcast_to(value, coefficients.shape) for value in full])
    branch = (values if _is_maximum(step) else -values).argmax(axis=0)
    below, bias = [], np.zeros(len(coefficients))
    for b, (operand, value) in enumerate(zip(operands(step.call), values, strict=True)):
        kept = np.where(branch == b, coefficients, 0)
        if isinstance(operand, Tensor):
            below.append((operand, sum_back(step, kept, operand)))
        else:
            bias = bias + inner(kept, value)
    return below, bias


def _is_maximum(step: Step) -> bool:
    return type(step.layer).__name__ == "Maximum"


def adjoint_subtract(step: Step, coefficients: np.ndarray) -> Below:
    """The first operand gets the coefficient, and the second one its negative."""
    below = []
    for place, operand in enumerate(operands(step.call)[:2]):
        if isinstance(operand, Tensor):
            below.append((operand, sum_back(step, coefficients * (1 - 2 * place), operand)))
    signed = [x if place == 0 else -x for place, x in constants(step.call)]
    return below, inner(coefficients, sum(signed, np.zeros(1, np.float32)))


def _constant_part(step: Step, coefficients: np.ndarray) -> np.ndarray:
    return inner(coefficients, sum((x for _, x in constants(step.call)), np.zeros(1, np.float32)))


def walk_subtract(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the larger of ``a`` and ``-b``; on ``b`` the sign flips."""
    signs = [
        1 if place == 0 else -1 for place, x in enumerate(operands(step.call)[:2]) if isinstance(x, Tensor)
    ]
    parts: Iterable[Evidence] = [evidence]
    if len(signs) > 1:
        values = [
            sign * values_at(step, evidence, tensor)
            for sign, tensor in zip(signs, step.call.inputs, strict=True)
        ]
        parts = shared(step, evidence, selection, np.stack(values, axis=1))
    found = []
    for sign, tensor, part in zip(signs, step.call.inputs, parts, strict=True):
        part = part.at(part.coordinates, (part.sense * sign).astype(np.int8))
        found.append((tensor, broadcast_back(step, part, tensor)))
    return found


def negative(step: Step) -> Elementwise:
    """``-x``."""
    return Elementwise(-np.ones(1, np.float32), lambda: (-1, 0.0))
