"""Rules of activations: evidence stays in place; in the head they are frozen."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

# Answers are explained at the logit before these.
_at_zero: WeakKeyDictionary[keras.Layer, float] = WeakKeyDictionary()

OUTPUT_ACTIVATIONS = ("softmax", "log_softmax", "logsoftmax", "sigmoid")


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place."""
    return [(step.input, evidence)]


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """Frozen as ``f(0) + z * (f(z) - f(0)) / z``: for example a ReLU's mask, or tanh(z)/z.

    If f(0) is not finite, as for a logarithm, it is frozen as ``z * f(z) / z``. The softmax before an output
    that is cut or reshaped passes all on: the logit is explained.
    """
    if step.call.final:
        return [(step.input, coefficients)], 0.0
    if kind(step.call) in ("softmax", "log_softmax", "logsoftmax"):
        raise TraceError(
            f"{step.call.name!r}: a softmax inside the head is not elementwise and has no adjoint"
        )
    z, y = step.recorded(step.input), step.recorded(step.output)
    at_zero = value_at_zero(step.call, z.shape[1:])
    below = coefficients * step.of_questions(frozen_ratio(z, y, at_zero))
    if not at_zero:
        return [(step.input, below)], 0.0
    return [(step.input, below)], at_zero * coefficients.reshape(len(coefficients), -1).sum(axis=1)


def frozen_ratio(
    z: np.ndarray, y: np.ndarray, at_zero: float | np.ndarray = 0.0, stabilizer: float = 0.0
) -> np.ndarray:
    """Compute ``(f(z) - f(0)) / z``; 0 where z is 0. A stabilizer moves z away from 0."""
    divisor = z + np.copysign(np.float32(stabilizer), z) if stabilizer else z
    return np.divide(y - at_zero, divisor, out=np.zeros_like(z), where=divisor != 0)


def value_at_zero(call: Call, shape: tuple[int, ...]) -> float:
    """Compute f(0) of an elementwise function on a tensor of this shape (no batch axis); 0 where it is not
    finite."""
    operation: Any = call.operation
    # A fused activation, or a layer without weights, is always the same function.
    same = isinstance(operation, keras.Layer) and (call.part == "activation" or not operation.weights)
    if same and operation in _at_zero:
        return _at_zero[operation]
    zeros = np.zeros((1, *shape), np.float32)
    if call.part == "activation":
        found = operation.activation(zeros)
    else:
        arguments, keywords = keras.tree.map_structure(
            lambda x: zeros if isinstance(x, Tensor) else x, (call.arguments, call.keywords)
        )
        found = operation(*arguments, **keywords)
    value = float(as_array(found).flat[0])
    value = value if np.isfinite(value) else 0.0
    if same:
        _at_zero[operation] = value
    return value


def is_output_activation(call: Call) -> bool:
    """Whether a call is a separate softmax or sigmoid, or one fused into a layer with a kernel."""
    layer = isinstance(call.operation, keras.Layer)
    alone = isinstance(call.operation, keras.layers.Activation | keras.layers.Softmax)
    return (call.part == "activation" or alone or not layer) and kind(call) in OUTPUT_ACTIVATIONS


_MOVING = (
    "GetItem",
    "Reshape",
    "Flatten",
    "Squeeze",
    "ExpandDims",
    "Identity",
    "Copy",
    "Permute",
    "Transpose",
)


def mark_final(graph: Graph) -> None:
    """Mark the softmaxes whose outputs only move on their way to an output of the model."""
    for tensor in graph.outputs:
        moved = False
        while tensor.call is not None and type(tensor.call.operation).__name__ in _MOVING:
            tensor, moved = tensor.call.inputs[0], True
            if sum(tensor in call.inputs for call in graph.calls) > 1:
                break
        call = tensor.call
        if moved and call is not None and is_output_activation(call) and "softmax" in kind(call):
            call.final = True


def kind(call: Call) -> str:
    """The activation's name in lower case: ``"relu"``, ``"softmax"``."""
    function = getattr(call.operation, "activation", None)
    name = getattr(function, "__name__", None) or type(function or call.operation).__name__
    return name.lower()


def walk_transparent(
    step: Step, evidence: Evidence, selection: CNNFixations
) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place: the layer does nothing at inference (dropout, noise, identity)."""
    return [(step.input, evidence)]


def adjoint_transparent(
    step: Step, coefficients: np.ndarray
) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """Unchanged: the layer does nothing at inference."""
    return [(step.input, coefficients)], 0.0
