"""Find the layers of a network that have filters, and the tensors on which filters are read.

A filter is read (and set to zero) after the normalisation, the activation and the dropout that only its layer
feeds. A `Feature` names the layer that the filter belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers as kinds

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.models.errors import UserError

CONVOLUTION, DENSE, POOLING, JOINING = "convolution", "dense", "pooling", "joining"
ALL, ONLY_CONV = "all", "only-conv"
VARIANTS = (ALL, ONLY_CONV)
"""The sets of layers (All and OnlyConv in the paper): all layers with channels, or the convolutions alone."""

_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    (CONVOLUTION, (kinds.Conv2D, kinds.Conv2DTranspose, kinds.DepthwiseConv2D, kinds.SeparableConv2D)),
    (DENSE, (kinds.Dense, kinds.EinsumDense)),
    (
        POOLING,
        (kinds.MaxPooling2D, kinds.AveragePooling2D, kinds.GlobalMaxPooling2D, kinds.GlobalAveragePooling2D),
    ),
    (JOINING, (kinds.Add, kinds.Subtract, kinds.Multiply, kinds.Average, kinds.Maximum, kinds.Minimum)),
    (JOINING, (kinds.Concatenate,)),
)
_JOINING_OPERATORS = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate")
_REARRANGING = (kinds.Flatten, kinds.Reshape, kinds.Permute, kinds.RepeatVector)


@dataclass(frozen=True, eq=False)
class FilterLayer:
    """A layer with filters.

    name: the name of the layer, or its path in nested models. kind: `"convolution"`, `"dense"`, `"pooling"`
    or `"joining"`. channels: the number of filters. tensors: the tensors on which they are read, one for each
    call of the layer.
    """

    name: str
    kind: str
    channels: int
    tensors: tuple[Tensor, ...]

    @property
    def is_spatial(self) -> bool:
        """Whether the response of a filter is a map."""
        return any(tensor.is_map for tensor in self.tensors)


def filter_layers(graph: Graph, answer: Tensor, variant: str = ALL) -> list[FilterLayer]:
    """Find the layers with filters before an output of interest, in the order of the network.

    The last layer with weights and everything after it are left out, because their channels are the classes
    (the paper's "last two layers", that of the logits and the softmax). If the output is a map, such as the
    last map of a captioner's encoder, it is included.

    Args:
        graph: the flat model; `answer`: the logits, or a map.
        variant: one of `VARIANTS`.

    Raises:
        UserError: there is no such variant, or no layer whose filters have maps.
    """
    if variant not in VARIANTS:
        raise UserError(f"unknown variant {variant!r}; choose one of {', '.join(VARIANTS)}")
    calls = graph.ancestors([answer])
    if not answer.is_map:
        classes = _makers_of_classes(answer)
        calls = [call for call in calls if call not in classes]
    found: dict[str, FilterLayer] = {}
    for call in calls:
        kind = kind_of(call)
        if kind is None or (variant == ONLY_CONV and kind != CONVOLUTION):
            continue
        tensor = _read_at(graph, call.outputs[0], answer)
        before = found.get(call.name)
        channels = _channels(tensor)
        tensors = (tensor,) if before is None else (*before.tensors, tensor)
        found[call.name] = FilterLayer(call.name, kind, channels, tensors)
    layers = list(found.values())
    if not any(layer.is_spatial for layer in layers):
        raise UserError(
            f"model {graph.name!r} has no layer before its last one whose filters answer with a map; "
            "relevant features are for convolutional networks"
        )
    return layers


def kind_of(call: Call) -> str | None:
    """The kind of a layer with channels of its own; None for a layer that only passes or reorders
    channels."""
    operation = call.operation
    if call.part == "activation" or not call.depends_on_image:
        return None
    if len(call.outputs) != 1 or len(call.outputs[0].shape) not in (2, 4):
        return None
    if not isinstance(operation, keras.Layer):
        joins = type(operation).__name__ in _JOINING_OPERATORS and len(call.inputs) > 1
        return JOINING if joins else None
    return next((kind for kind, classes in _KINDS if isinstance(operation, classes)), None)


def offsets(layers: Sequence[FilterLayer]) -> dict[str, slice]:
    """The index of each layer's first filter among the filters of all layers."""
    found, first = {}, 0
    for layer in layers:
        found[layer.name] = slice(first, first + layer.channels)
        first += layer.channels
    return found


def _makers_of_classes(answer: Tensor) -> set[Call]:
    """The calls from the last layer with weights to the answer."""
    found: set[Call] = set()
    call = answer.call
    while call is not None:
        found.add(call)
        before = [tensor.call for tensor in call.inputs if tensor.call and tensor.call.depends_on_image]
        ends = call.part != "activation" and kind_of(call) in (CONVOLUTION, DENSE)
        call = None if ends or len(before) != 1 else before[0]
    return found


def _read_at(graph: Graph, tensor: Tensor, answer: Tensor) -> Tensor:
    """The tensor after the calls that act on each channel separately, as long as nothing else reads
    between."""
    while tensor is not answer and tensor not in graph.outputs:
        readers = [call for call in graph.calls if tensor in call.inputs]
        if len(readers) != 1 or not _keeps_channels(readers[0]):
            break
        tensor = readers[0].outputs[0]
    return tensor


def _keeps_channels(call: Call) -> bool:
    return (
        kind_of(call) is None
        and len(call.inputs) == len(call.outputs) == 1
        and call.inputs[0].shape == call.outputs[0].shape
        and not isinstance(call.operation, _REARRANGING)
    )


def _channels(tensor: Tensor) -> int:
    channels = tensor.shape[1 if tensor.channels_first and len(tensor.shape) > 2 else -1]
    assert channels is not None  # Keras builds no kernel for an unknown number of channels
    return channels
