"""Rules of operators that join tensors along an axis, or choose elements from one of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.broadcasting import at, broadcast_back, inner, number, sum_back
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Found = list[tuple[Tensor, Evidence]]
Below = tuple[list[tuple[Tensor, np.ndarray]], Any]


def walk_concatenate(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence propagates to the branch that owns the element (inception and dense blocks: the channel); it
    ends at a constant."""
    found, axis = [], concatenation_axis(step.call)
    for tensor, start, end in _joined(step, axis):
        if not isinstance(tensor, Tensor):
            continue
        place = evidence.coordinates[:, axis]
        owned = evidence.take((place >= start) & (place < end), unique=True)
        if start and len(owned):
            coordinates = owned.coordinates.copy()
            coordinates[:, axis] -= start
            owned = owned.at(coordinates, unique=True)
        else:
            owned = owned.at(owned.coordinates, unique=True)
        found.append((tensor, owned))
    return found


def adjoint_concatenate(step: Step, coefficients: np.ndarray) -> Below:
    """Each branch gets its own slice; the part of a constant is a bias term."""
    axis = concatenation_axis(step.call)
    below, bias = [], np.zeros(len(coefficients))
    for member, start, end in _joined(step, axis):
        part = coefficients[(*[slice(None)] * axis, slice(start, end))]
        if isinstance(member, Tensor):
            below.append((member, part))
        else:
            bias = bias + inner(part, number(member))
    return below, bias


def _joined(step: Step, axis: int) -> Iterator[tuple[Any, int, int]]:
    """What a concatenation joins, tensors and constants, and where each begins and ends on the output."""
    start = 0
    for member in keras.tree.flatten((step.call.arguments, step.call.keywords)):
        if isinstance(member, Tensor) or np.ndim(member):
            shape = step.shape(member) if isinstance(member, Tensor) else np.shape(member)
            yield member, start, start + shape[axis]
            start += shape[axis]


def concatenation_axis(call: Call) -> int:
    """The axis of a concatenation, counted from the front."""
    axis: int = call.operation.axis % len(call.outputs[0].shape)
    if axis == 0:
        raise TraceError(f"{call.name!r} concatenates along the batch axis, which has no rule")
    return axis


def walk_stack(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence propagates to the tensor at the index along the new axis."""
    axis = _new_axis(step)
    found = []
    for index, tensor in _members(step.call):
        part = evidence.take(evidence.coordinates[:, axis] == index)
        found.append((tensor, part.at(np.delete(part.coordinates, axis, axis=1))))
    return found


def adjoint_stack(step: Step, coefficients: np.ndarray) -> Below:
    """Each tensor gets its own slice; the part of a constant is a bias term."""
    axis = _new_axis(step)
    slices = {i: coefficients.take(i, axis=axis) for i in range(coefficients.shape[axis])}
    below = [(tensor, slices.pop(index)) for index, tensor in _members(step.call)]
    constants = keras.tree.flatten(step.call.arguments[0])
    bias = sum((inner(k, number(constants[i])) for i, k in slices.items()), np.zeros(len(coefficients)))
    return below, bias


def _members(call: Call) -> list[tuple[int, Tensor]]:
    return [(i, x) for i, x in enumerate(keras.tree.flatten(call.arguments[0])) if isinstance(x, Tensor)]


def _new_axis(step: Step) -> int:
    axis: int = step.layer.axis % len(step.output.shape)
    if axis == 0:
        raise TraceError(f"{step.call.name!r} stacks along the batch axis, which has no rule")
    return axis


def walk_where(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence propagates to the operand that the condition chose; it ends at a constant."""
    first = at(_condition(step), evidence.coordinates)
    return [
        (operand, broadcast_back(step, evidence.take(first if place == 0 else ~first), operand))
        for place, operand in enumerate(_branches(step.call))
        if isinstance(operand, Tensor)
    ]


def adjoint_where(step: Step, coefficients: np.ndarray) -> Below:
    """Frozen: the coefficient goes to the chosen operand; the part of a constant is a bias term."""
    chosen = _condition(step)
    below, bias = [], np.zeros(len(coefficients))
    for place, operand in enumerate(_branches(step.call)):
        kept = np.where(chosen if place == 0 else ~chosen, coefficients, 0)
        if isinstance(operand, Tensor):
            below.append((operand, sum_back(step, kept, operand)))
        else:
            bias = bias + inner(kept, number(operand))
    return below, bias


def _condition(step: Step) -> np.ndarray:
    """The condition, bool, batch first, which broadcasts to the output."""
    condition = (*step.call.arguments, *step.call.keywords.values())[0]
    value = step.value(condition) if isinstance(condition, Tensor) else number(condition)
    value = value.astype(bool)
    rank = len(step.output.shape)
    if value.ndim < rank and isinstance(condition, Tensor):
        return value.reshape(len(value), *(1,) * (rank - value.ndim), *value.shape[1:])
    return value.reshape(*(1,) * (rank - value.ndim), *value.shape)


def _branches(call: Call) -> tuple[Any, Any]:
    first, second = (*call.arguments, *call.keywords.values())[1:3]
    return first, second
