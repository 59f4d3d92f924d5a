"""The position of the channels: last, ``[n, height, width, channels]``, or first,
``[n, channels, height, width]``.

Rules and results have the channels last. This module transposes channels-first tensors for them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.step import Step

if TYPE_CHECKING:
    from gazeback.cnn_trace.rules.rule import Rule

# Operations after which the axes have another meaning.
_REARRANGING = ("Permute", "Transpose", "Reshape", "Flatten")


def mark_layouts(graph: Graph) -> None:
    """Note on every tensor whether its channels come first.

    The ``data_format`` of a layer decides for its inputs and outputs. Calls that compute element by element,
    add or concatenate have the layout of their neighbours.
    """
    known: dict[Tensor, bool] = {}
    for call in graph.calls:
        if (first := _is_channels_first(call)) is not None:
            known.update((tensor, first) for tensor in _maps(call))
    if not any(known.values()):
        return
    before = -1
    while len(known) > before:
        before = len(known)
        for call in (*graph.calls, *reversed(graph.calls)):
            if type(call.operation).__name__ not in _REARRANGING and _is_channels_first(call) is None:
                said = {known[t] for t in _maps(call) if t in known}
                if len(said) == 1:
                    known.update(dict.fromkeys(_maps(call), said.pop()))
    for tensor, first in known.items():
        tensor.channels_first = first


def _maps(call: Call) -> list[Tensor]:
    return [tensor for tensor in (*call.inputs, *call.outputs) if len(tensor.shape) > 2]


def _is_channels_first(call: Call) -> bool | None:
    data_format = getattr(call.operation, "data_format", None)
    return None if data_format is None else data_format == "channels_first"


def channels_last(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """Move the channel axis of a tensor's values ``[n, ...]`` to the end."""
    return np.moveaxis(values, 1, -1) if tensor.channels_first and values.ndim > 2 else values


def as_stored(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """The inverse of :func:`channels_last`."""
    return np.moveaxis(values, -1, 1) if tensor.channels_first and values.ndim > 2 else values


def columns_last(tensor: Tensor, coordinates: np.ndarray) -> np.ndarray:
    """Move the channel of coordinates ``[n, rank]`` to the last column."""
    if not tensor.channels_first or coordinates.shape[1] < 3:
        return coordinates
    return np.column_stack([coordinates[:, 0], coordinates[:, 2:], coordinates[:, 1]])


def columns_as_stored(tensor: Tensor, coordinates: np.ndarray) -> np.ndarray:
    """The inverse of :func:`columns_last`."""
    if not tensor.channels_first or coordinates.shape[1] < 3:
        return coordinates
    return np.column_stack([coordinates[:, 0], coordinates[:, -1], coordinates[:, 1:-1]])


def shape_last(tensor: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A tensor's actual shape with the channels at the end."""
    return (shape[0], *shape[2:], shape[1]) if tensor.channels_first and len(shape) > 2 else shape


class _TurnedStep(Step):
    """A step of a channels-first layer that looks channels-last to its rule."""

    @property
    def layer(self) -> Any:
        return _turned_layer(self.call.operation)

    def value(self, tensor: Tensor) -> np.ndarray:
        return np.ascontiguousarray(channels_last(tensor, super().value(tensor)))

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        return shape_last(tensor, super().shape(tensor))

    def places(self, tensor: Tensor) -> tuple[int, ...]:
        return self.shape(tensor)[1:-1]


def _turned(step: Step) -> Step:
    return _TurnedStep(step.call, step.recording, step.output, step.image, step.reads)


_turned_layers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _turned_layer(layer: Any) -> Any:
    """The same layer with the same weights, but with ``channels_last``; it is never called, only read."""
    if layer not in _turned_layers:
        turned = object.__new__(type(layer))
        vars(turned).update(vars(layer), data_format="channels_last")
        _turned_layers[layer] = turned
    return _turned_layers[layer]


@cache
def turned_rule(rule: Rule) -> Rule:
    """Adapt a rule, which has the channels last, to a channels-first layer."""
    inner = rule.through(_turned)
    return replace(
        inner,
        walk=inner.walk and partial(_walk, inner.walk),
        adjoint=inner.adjoint and partial(_adjoint, inner.adjoint),
        feeding=inner.feeding and partial(_feeding, inner.feeding),
    )


def _feeding(feeding: Any, step: Step, evidence: Evidence) -> np.ndarray:
    found: np.ndarray = feeding(step, evidence.at(columns_last(step.output, evidence.coordinates)))
    return found


def _walk(walk: Any, step: Step, evidence: Evidence, selection: Any) -> list[tuple[Tensor, Evidence]]:
    found = walk(step, evidence.at(columns_last(step.output, evidence.coordinates)), selection)
    return [(tensor, part.at(columns_as_stored(tensor, part.coordinates))) for tensor, part in found]


def _adjoint(
    adjoint: Any, step: Step, coefficients: np.ndarray
) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    below, bias = adjoint(step, channels_last(step.output, coefficients))
    return [(tensor, as_stored(tensor, part)) for tensor, part in below], bias
