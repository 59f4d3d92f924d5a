"""Rewrite layers and operators whose own call cannot be walked in operations that can.

Cases that are not covered, such as sequences of any length, raise an error. The layer then stays one call
without a rule.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import KerasTensor, ops

from gazeback.cnn_trace.masks import set_keras_mask

Opening = Callable[..., Any]

# By class, or by the name of an operator's class, or of a layer's that another package may have.
_OPENINGS: dict[type | str, Opening] = {}


def register_opening(kind: type | str, opening: Opening) -> None:
    """Register how to open a layer class, or an operator by the name of its class.

    Args:
        kind: the class; for an operator its name.
        opening: ``opening(layer, *arguments, **keywords)``, called on symbolic tensors instead of
            ``layer.call``; made of Keras layers and operators.
    """
    _OPENINGS[kind] = opening


def opening_of(operation: keras.Operation) -> Opening | None:
    """The opening of an operation: the registered one, or its ``call`` if it is a layer, or None."""
    kind: Any = type(operation)
    if not isinstance(operation, keras.Layer):
        return _OPENINGS.get(kind.__name__)
    for known in kind.__mro__:
        # A subclass with a ``call`` of its own is another layer.
        if known in _OPENINGS and kind.call is known.call:
            return _OPENINGS[known]
    found: Opening = kind.call
    return _OPENINGS.get(kind.__name__, found)


_OPERATORS = {
    "__add__": ops.add,
    "__sub__": ops.subtract,
    "__mul__": ops.multiply,
    "__truediv__": ops.divide,
    "__matmul__": ops.matmul,
    "__pow__": ops.power,
}


@contextmanager
def variables_meet_tensors() -> Iterator[None]:
    """Make ``variable * x`` an operator of the graph in this context, as ``x * variable`` is."""
    kind: Any = keras.Variable
    own = {name: vars(kind).get(name) for name in _OPERATORS}
    for name, operator in _OPERATORS.items():
        setattr(kind, name, _symbolic(operator, getattr(kind, name)))
    try:
        yield
    finally:
        for name, before in own.items():
            if before is None:
                delattr(kind, name)
            else:
                setattr(kind, name, before)


def _symbolic(operator: Callable[..., Any], eager: Callable[..., Any]) -> Callable[..., Any]:
    def either(variable: Any, other: Any) -> Any:
        return operator(variable, other) if isinstance(other, KerasTensor) else eager(variable, other)

    return either


def _over_time(layer: Any, sequence: KerasTensor, training: bool = False, mask: Any = None) -> KerasTensor:
    """Open TimeDistributed step by step; its own call moves the time axis to the place of the batch axis.

    What acts on vectors does so at all steps at once, however many there are.
    """
    inner = layer.layer
    if len(sequence.shape) == 3 and isinstance(inner, _ON_VECTORS):
        return inner(sequence)
    masks: list[dict[str, Any]] = [{}] * sequence.shape[1]
    if mask is not None and getattr(inner, "_call_has_mask_arg", False):
        masks = [{"mask": mask[:, t]} for t in range(sequence.shape[1])]
    return ops.stack([inner(sequence[:, t], **given) for t, given in enumerate(masks)], axis=1)


_ON_VECTORS = (keras.layers.Dense, keras.layers.Activation, keras.layers.Softmax, keras.layers.Dropout)


def _both_ways(
    layer: Any, sequences: KerasTensor, initial_state: Any = None, mask: Any = None, training: Any = None
) -> Any:
    """Open Bidirectional as its two layers; its own call may run them fused in one kernel."""
    states = [None, None]
    if initial_state is not None:
        half = len(initial_state) // 2
        states = [initial_state[:half], initial_state[half:]]
    both = (layer.forward_layer, layer.backward_layer)
    found = [
        [*found]
        if isinstance(found := one(sequences, initial_state=state, mask=mask), list | tuple)
        else [found]
        for one, state in zip(both, states, strict=True)
    ]
    outputs, finals = [one[0] for one in found], [*found[0][1:], *found[1][1:]]
    if layer.return_sequences:
        outputs[1] = ops.flip(outputs[1], axis=1)
    merged = outputs if layer.merge_mode is None else [_MERGES[layer.merge_mode](outputs)]
    return [*merged, *finals] if len(merged) + len(finals) > 1 else merged[0]


_MERGES = {
    "concat": keras.layers.concatenate,
    "sum": keras.layers.add,
    "ave": keras.layers.average,
    "mul": keras.layers.multiply,
}


def _dot(layer: Any, inputs: list[KerasTensor]) -> KerasTensor:
    """Open the layer Dot as an einsum, of normalised tensors if it normalises."""
    ranks = [len(x.shape) for x in inputs]
    axes = layer.axes if isinstance(layer.axes, list | tuple) else [layer.axes] * 2
    axes = [axis % rank for axis, rank in zip(axes, ranks, strict=True)]
    if layer.normalize:
        inputs = [ops.normalize(x, axis=axis) for x, axis in zip(inputs, axes, strict=True)]
    one, two = string.ascii_lowercase[: ranks[0]], string.ascii_lowercase[ranks[0] : sum(ranks)]
    two = one[0] + two[1 : axes[1]] + one[axes[0]] + two[axes[1] + 1 :]
    kept = one[: axes[0]] + one[axes[0] + 1 :] + "".join(c for c in two if c not in one)
    found = ops.einsum(f"{one},{two}->{kept}", *inputs)
    return found if len(found.shape) > 1 else ops.expand_dims(found, -1)


def _tokens_and_positions(layer: Any, inputs: KerasTensor, *arguments: Any, **keywords: Any) -> KerasTensor:
    """Open the layer of ``keras_hub``, whose call gives its output a mask that a symbolic call cannot see."""
    found: KerasTensor = type(layer).call(layer, inputs, *arguments, **keywords)
    if layer.token_embedding.mask_zero:
        set_keras_mask(found, ops.not_equal(inputs, 0))
    return found


register_opening("TokenAndPositionEmbedding", _tokens_and_positions)
register_opening(keras.layers.TimeDistributed, _over_time)
register_opening(keras.layers.Bidirectional, _both_ways)
register_opening(keras.layers.Dot, _dot)
