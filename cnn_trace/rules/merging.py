"""Layers and operators that merge branches, or combine a tensor with a constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.kernels import as_array
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
    """The evidence on each of the terms of a sum, in place.

    Args:
        values: of the terms where the evidence lies, ``[n, terms]``.
    """
    rows, terms, weights = selection.terms(values, evidence, step.call.name)
    for term in range(values.shape[1]):
        yield evidence.shared(rows[terms == term], weights[terms == term], unique=True)


def values_at(step: Step, evidence: Evidence, tensor: Tensor) -> np.ndarray:
    """The values of an operand where the evidence lies on the output, ``[n]``."""
    elements = broadcast_back(step, evidence, tensor).elements(step.shape(tensor))
    return step.value(tensor).reshape(-1).take(elements)


def broadcast_back(step: Step, evidence: Evidence, tensor: Tensor) -> Evidence:
    """Coordinates on an operand that was broadcast to the output's shape."""
    shape = step.shape(tensor)
    missing = len(step.shape(step.output)) - len(shape)
    if shape == step.shape(step.output):
        return evidence
    coordinates = evidence.coordinates
    if missing:
        coordinates = np.column_stack([coordinates[:, 0], coordinates[:, 1 + missing :]])
    if shape[1:] != step.shape(step.output)[1 + missing :]:
        coordinates = np.minimum(coordinates, np.subtract(shape, 1))
    return evidence.at(coordinates)


def sum_back(step: Step, coefficients: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The adjoint of broadcasting: add up over the axes along which an operand was repeated."""
    shape = step.shape(tensor)[1:]
    missing = coefficients.ndim - 1 - len(shape)
    if missing:
        coefficients = coefficients.sum(axis=tuple(range(1, 1 + missing)))
    repeated = tuple(
        axis for axis, size in enumerate(shape, start=1) if size == 1 and coefficients.shape[axis] != 1
    )
    return coefficients.sum(axis=repeated, keepdims=True) if repeated else coefficients


def adjoint_add(step: Step, coefficients: np.ndarray) -> Below:
    """Every operand takes the coefficient; a constant operand's part is a bias term."""
    return [(t, sum_back(step, coefficients, t)) for t in step.call.inputs], _constant_part(
        step, coefficients
    )


def adjoint_average(step: Step, coefficients: np.ndarray) -> Below:
    """The mean of several branches: each takes its part; a constant operand's is a bias term."""
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
    """Frozen: the coefficient belongs to the branch that is the maximum (minimum); a constant's is a bias."""
    full = [
        step.value(x) if isinstance(x, Tensor) else np.asarray(as_array(x), np.float32)
        for x in operands(step.call)
    ]
    values = np.stack([np.broadcast_to(value, coefficients.shape) for value in full])
    branch = (values if _is_maximum(step) else -values).argmax(axis=0)
    below, bias = [], np.zeros(len(coefficients))
    for b, (operand, value) in enumerate(zip(operands(step.call), values, strict=True)):
        kept = np.where(branch == b, coefficients, 0)
        if isinstance(operand, Tensor):
            below.append((operand, sum_back(step, kept, operand)))
        else:
            bias = bias + _inner(kept, value)
    return below, bias


def _is_maximum(step: Step) -> bool:
    return type(step.layer).__name__ == "Maximum"


def adjoint_subtract(step: Step, coefficients: np.ndarray) -> Below:
    """The second operand takes the coefficient with the opposite sign."""
    below = []
    for place, operand in enumerate(operands(step.call)[:2]):
        if isinstance(operand, Tensor):
            below.append((operand, sum_back(step, coefficients * (1 - 2 * place), operand)))
    signed = [x if place == 0 else -x for place, x in constants(step.call)]
    return below, _inner(coefficients, sum(signed, np.zeros(1, np.float32)))


def _constant_part(step: Step, coefficients: np.ndarray) -> np.ndarray:
    return _inner(coefficients, sum((x for _, x in constants(step.call)), np.zeros(1, np.float32)))


def _inner(coefficients: np.ndarray, constant: np.ndarray) -> np.ndarray:
    full = coefficients * constant
    return full.reshape(len(full), -1).sum(axis=1)


def walk_scaled(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Times, or divided by, a constant: the evidence stays in place, a negative factor turns its sense."""
    negative = _factor(step) < 0
    sense = evidence.sense
    if negative.any():
        flips = np.broadcast_to(negative, (1, *step.shape(step.output)[1:]))[
            (0, *evidence.coordinates[:, 1:].T)
        ]
        sense = np.where(flips, -sense, sense).astype(np.int8)
    return [(step.input, broadcast_back(step, evidence.at(evidence.coordinates, sense), step.input))]


def adjoint_scaled(step: Step, coefficients: np.ndarray) -> Below:
    """Times, or divided by, a constant."""
    return [(step.input, sum_back(step, coefficients * _factor(step), step.input))], 0.0


def _factor(step: Step) -> np.ndarray:
    _, constant = constants(step.call)[0]
    return 1 / constant if type(step.layer).__name__ in ("Divide", "TrueDivide") else constant


def walk_subtract(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """``a - b`` is the sum of a and -b: the larger of the two; on b the opposite sense is sought."""
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


def walk_negative(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """``-x``: a high value means a low one below."""
    return [(step.input, evidence.at(evidence.coordinates, -evidence.sense))]


def adjoint_negative(step: Step, coefficients: np.ndarray) -> Below:
    """``-x``."""
    return [(step.input, -coefficients)], 0.0


def operands(call: Call) -> list[Any]:
    """Everything that a layer or operator was called on, tensors and constants, in order."""
    return keras.tree.flatten((call.arguments, call.keywords))


def constants(call: Call) -> list[tuple[int, np.ndarray]]:
    """The operands of an operator that are no tensors of the model, with their places."""
    return [
        (place, np.asarray(as_array(operand), np.float32))
        for place, operand in enumerate(operands(call))
        if not isinstance(operand, Tensor) and operand is not None
    ]
