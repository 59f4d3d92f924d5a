"""Find gates and attention weights: factors from a sigmoid or softmax, which are treated as constants."""

from __future__ import annotations

from typing import Any

from gazeback.cnn_trace.graph import Call, Tensor, looks_up
from gazeback.cnn_trace.rules.activation import kind

GATES = ("sigmoid", "hard_sigmoid", "hardsigmoid", "softmax")

# After these a gate is still a gate.
_MOVING = (
    "Reshape",
    "Flatten",
    "ExpandDims",
    "Squeeze",
    "Permute",
    "Transpose",
    "Swapaxes",
    "Moveaxis",
    "RepeatVector",
    "Repeat",
    "Tile",
    "BroadcastTo",
    "GetItem",
    "Cast",
    "Dropout",
    "Identity",
)

_JOINING = ("Stack", "Concatenate")

_MASKING = ("Where", "Multiply")


def is_gate(tensor: Tensor) -> bool:
    """Whether a tensor is the output of a sigmoid or softmax, which is never negative.

    A softmax may be written by hand, as ``exp(x) / sum(exp(x))``. It may be masked.
    """
    call = tensor.call
    if call is None:
        return False
    if call.part != "linear" and kind(call) in GATES:
        return True
    name = type(call.operation).__name__
    if name in _MOVING:
        return is_gate(call.inputs[0])
    if name in _JOINING:
        return all(map(is_gate, call.inputs))
    if name in _MASKING:
        return _is_masked(call)
    if name == "Subtract":
        return _is_one(call.arguments[0]) and is_gate(call.inputs[-1])
    return name in ("Divide", "TrueDivide") and _is_normalised(call)


def _is_masked(call: Call) -> bool:
    """Whether a gate is multiplied by a mask: a factor that depends on no image and no embedding of words."""
    gates = [t for t in call.inputs if is_gate(t)]
    others = [t for t in call.inputs if t not in gates]
    return bool(gates) and not any(_carries(t) for t in others)


def _carries(tensor: Tensor) -> bool:
    """Whether a tensor has other numbers than zeros and ones."""
    if "float" not in tensor.dtype:
        return False
    call = tensor.call
    return call is None or looks_up(call) or any(map(_carries, call.inputs))


def _is_one(operand: Any) -> bool:
    """Whether something is the number 1: 1 - gate is a gate."""
    return isinstance(operand, int | float) and operand == 1


def _is_normalised(call: Call) -> bool:
    """Whether a gate or an exponential is divided by its sum."""
    dividend = call.inputs[0]
    if is_gate(dividend):
        return True
    while dividend.call is not None and type(dividend.call.operation).__name__ in (*_MOVING, *_MASKING):
        dividend = dividend.call.inputs[-1]
    return dividend.call is not None and kind(dividend.call) == "exp"
