"""Products of tensors: the trunk is followed, a gate counts as a constant (squeeze-and-excitation)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.activation import kind
from gazeback.cnn_trace.rules.merging import adjoint_scaled, broadcast_back, sum_back, walk_scaled
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

GATES = ("sigmoid", "hard_sigmoid", "hardsigmoid", "softmax")


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence goes on along the trunk; where the other factors are negative, its sense turns."""
    if len(step.call.inputs) == 1:
        return walk_scaled(step, evidence, selection)
    trunk = factors(step)
    values = [_values_at(step, evidence, tensor) for tensor in step.call.inputs]
    # Several factors that are no gates: the one with the larger value.
    strongest = np.stack([np.abs(values[i]) for i in trunk]).argmax(axis=0)
    found = []
    for place, i in enumerate(trunk):
        chosen = strongest == place
        others = np.prod([v[chosen] for j, v in enumerate(values) if j != i], axis=0)
        part = evidence.take(chosen).turned(np.where(others < 0, -1, 1))
        tensor = step.call.inputs[i]
        found.append((tensor, broadcast_back(step, part, tensor)))
    return found


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """The gates are frozen; several other factors share the product evenly, so that the sum stays exact."""
    if len(step.call.inputs) == 1:
        return adjoint_scaled(step, coefficients)
    trunk = factors(step)
    values = [step.value(tensor) for tensor in step.call.inputs]
    below = []
    for i in trunk:
        product = coefficients / len(trunk)
        for j, value in enumerate(values):
            if j != i:
                missing = product.ndim - value.ndim
                product = product * value.reshape(len(value), *(1,) * missing, *value.shape[1:])
        below.append((step.call.inputs[i], sum_back(step, product, step.call.inputs[i])))
    return below, 0.0


def factors(step: Step) -> list[int]:
    """The operands that are the trunk: those of full size that no sigmoid or softmax made, or else all."""
    size = int(np.prod(step.shape(step.output)[1:]))
    tensors = step.call.inputs
    full = [i for i, t in enumerate(tensors) if int(np.prod(step.shape(t)[1:])) == size] or list(
        range(len(tensors))
    )
    return [i for i in full if not _is_gate(tensors[i])] or full


def _is_gate(tensor: Tensor) -> bool:
    call = tensor.call
    while call is not None and len(call.inputs) == 1:
        if call.part != "linear" and kind(call) in GATES:
            return True
        if type(call.operation).__name__ not in (
            "Reshape",
            "ExpandDims",
            "Permute",
            "Transpose",
            "RepeatVector",
        ):
            return False
        call = call.inputs[0].call
    return False


def _values_at(step: Step, evidence: Evidence, tensor: Tensor) -> np.ndarray:
    return step.value(tensor)[tuple(broadcast_back(step, evidence, tensor).coordinates.T)]
