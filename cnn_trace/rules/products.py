"""Products and quotients: evidence propagates to the trunk; gates and divisors count as constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules import elementwise
from gazeback.cnn_trace.rules.broadcasting import (
    at,
    broadcast_back,
    constants,
    operands,
    sum_back,
    values_at,
)
from gazeback.cnn_trace.rules.gates import is_gate
from gazeback.cnn_trace.rules.linear import Elementwise, adjoint_elementwise
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def scaled(step: Step) -> Elementwise:
    """Times a constant, or divided by it."""
    _, factor = constants(step.call)[0]
    factor = 1 / factor if type(step.layer).__name__ in ("Divide", "TrueDivide") else factor
    return Elementwise(factor, lambda: (factor, 0.0))


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the trunk; its sign flips where the other factors are negative."""
    if len(step.call.inputs) == 1:
        return elementwise.walk(scaled, step, evidence, selection)
    trunk, tensors = factors(step.call), step.call.inputs
    if len(trunk) == 1:
        for i, tensor in enumerate(tensors):
            if i != trunk[0] and not is_gate(tensor):  # a gate is never negative
                evidence = evidence.turned(values_at(step, evidence, tensor))
        return [(tensors[trunk[0]], broadcast_back(step, evidence, tensors[trunk[0]]))]
    values = [values_at(step, evidence, tensor) for tensor in tensors]
    # Several factors that are no gates: the one with the larger value.
    strongest = np.stack([np.abs(values[i]) for i in trunk]).argmax(axis=0)
    found = []
    for place, i in enumerate(trunk):
        chosen = strongest == place
        others = np.prod([v[chosen] for j, v in enumerate(values) if j != i], axis=0)
        part = evidence.take(chosen, unique=True).turned(others)
        found.append((tensors[i], broadcast_back(step, part, tensors[i])))
    return found


def walk_reads(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads the values of all factors, but of none if one is the trunk and the other its gate."""
    if len(call.inputs) == 2 and sum(map(is_gate, call.inputs)) == 1:
        gate = call.inputs[0] if is_gate(call.inputs[0]) else call.inputs[1]
        trunk = call.inputs[1] if gate is call.inputs[0] else call.inputs[0]
        if trunk.shape == call.outputs[0].shape:
            return ()
    return call.inputs if len(call.inputs) > 1 else ()


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """Gates count as constants; several other factors share the product evenly, so that the sum is exact."""
    if len(step.call.inputs) == 1:
        return adjoint_elementwise(scaled, step, coefficients)
    trunk = factors(step.call)
    values = [step.value(tensor) for tensor in step.call.inputs]
    below = []
    for i in trunk:
        product = coefficients / len(trunk)
        for j, value in enumerate(values):
            if j != i:
                product = product * _aligned(value, product.ndim)
        below.append((step.call.inputs[i], sum_back(step, product, step.call.inputs[i])))
    return below, 0.0


def factors(call: Call) -> list[int]:
    """Find the trunk: the indices of the operands of full size that are no gates.

    If all of them are gates, all belong to the trunk; if none has the full size, all operands count.
    """
    tensors = call.inputs
    full = [i for i, tensor in enumerate(tensors) if _is_full(tensor, call.outputs[0])]
    full = full or list(range(len(tensors)))
    return [i for i in full if not is_gate(tensors[i])] or full


def followed(call: Call) -> list[Tensor]:
    """The operands to which evidence and coefficients propagate."""
    return [call.inputs[i] for i in factors(call)]


def divided(call: Call) -> list[Tensor]:
    """The operand of a quotient to which evidence and coefficients propagate: the dividend if it can."""
    dividend, divisor = operands(call)[:2]
    return [dividend if isinstance(dividend, Tensor) else divisor]


def _is_full(tensor: Tensor, output: Tensor) -> bool:
    """Whether an operand has the size of the output along every axis."""
    missing = len(output.shape) - len(tensor.shape)
    shape = (*[1] * missing, *tensor.shape[1:])
    return all(size == whole or whole == 1 for size, whole in zip(shape, output.shape[1:], strict=True))


def walk_divide(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the dividend; a negative divisor flips its sign.

    If a constant is divided by a tensor, evidence propagates to the tensor, and its sign flips for a positive
    constant: a high quotient means a low divisor.
    """
    dividend, divisor = operands(step.call)[:2]
    if not isinstance(divisor, Tensor):
        return elementwise.walk(scaled, step, evidence, selection)
    if isinstance(dividend, Tensor):
        turned = evidence.turned(values_at(step, evidence, divisor))
        return [(dividend, broadcast_back(step, turned, dividend))]
    falling = -at(constants(step.call)[0][1], evidence.coordinates)
    return [(divisor, broadcast_back(step, evidence.turned(falling), divisor))]


def adjoint_divide(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """The divisor counts as constant; a constant over x is frozen as ``x * (c / x^2)``."""
    dividend, divisor = operands(step.call)[:2]
    if not isinstance(divisor, Tensor):
        return adjoint_elementwise(scaled, step, coefficients)
    below = coefficients / _aligned(step.value(divisor), coefficients.ndim)
    if isinstance(dividend, Tensor):
        return [(dividend, sum_back(step, below, dividend))], 0.0
    below = below * constants(step.call)[0][1] / _aligned(step.value(divisor), coefficients.ndim)
    return [(divisor, sum_back(step, below, divisor))], 0.0


def _aligned(value: np.ndarray, rank: int) -> np.ndarray:
    """Insert axes of length 1 after the batch axis, so that the value broadcasts to a rank."""
    return value.reshape(len(value), *(1,) * (rank - value.ndim), *value.shape[1:])
