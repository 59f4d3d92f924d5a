"""The rule table: which rule traces which layer or operator. Read it from top to bottom.

A rule has up to two parts. Its *walk* takes evidence on the layer's output to evidence on its inputs (the
trunk); its *adjoint* takes the coefficients of an exact decomposition through it, nonlinearities frozen (the
head).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import keras
import numpy as np
from keras import layers

from gazeback.cnn_trace.errors import MissingRule
from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.rules import (
    activation,
    convolution,
    dense,
    merging,
    normalization,
    pooling,
    products,
    separable,
    shape,
)
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Walk = Callable[[Step, Evidence, CNNFixations], list[tuple[Tensor, Evidence]]]
Adjoint = Callable[[Step, np.ndarray], tuple[list[tuple[Tensor, np.ndarray]], Any]]
Reads = Callable[[Call, CNNFixations], Iterable[Tensor]]


def nothing(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads no activation."""
    return ()


def inputs(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads the values of all inputs."""
    return call.inputs


def branches(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads the values of the inputs where there are several to choose from."""
    return call.inputs if len(call.inputs) > 1 else ()


def inputs_for_argmax(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads its input only where the selection asks for the place of the largest product."""
    return call.inputs if selection.location == "argmax" else ()


def inputs_and_outputs(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads what goes in and what comes out."""
    return (*call.inputs, *call.outputs)


@dataclass(frozen=True)
class Rule:
    """How one kind of layer or operator is traced.

    Attributes:
        walk: ``walk(step, evidence, selection)`` -> ``[(input tensor, evidence on it), ...]``.
        adjoint: ``adjoint(step, coefficients [questions, ...])`` -> ``([(input tensor, coefficients)],
            bias)``, such that ``sum(coefficients * output) == sum(below * input) + bias`` for every question.
        walk_reads, adjoint_reads: the tensors whose recorded values the two need.
    """

    walk: Walk | None = None
    adjoint: Adjoint | None = None
    walk_reads: Reads = inputs
    adjoint_reads: Reads = inputs


_ACTIVATION = Rule(activation.walk, activation.adjoint, nothing, inputs_and_outputs)
_TRANSPARENT = Rule(activation.walk_transparent, activation.adjoint_transparent, nothing, nothing)
_ADD = Rule(merging.walk_add, merging.adjoint_add, branches, nothing)
_SCALED = Rule(merging.walk_scaled, merging.adjoint_scaled, nothing, nothing)
_PRODUCT = Rule(products.walk, products.adjoint, branches, branches)
_CONCATENATE = Rule(merging.walk_concatenate, merging.adjoint_concatenate, nothing, nothing)
_RESHAPE = Rule(shape.walk_reshape, shape.adjoint_reshape, nothing, nothing)
_GATHER = Rule(shape.walk_gather, shape.adjoint_gather, nothing, nothing)
_GLOBAL_AVERAGE = Rule(pooling.walk_global, pooling.adjoint_global_average, inputs, nothing)
_GLOBAL_MAX = Rule(pooling.walk_global, pooling.adjoint_global_max, inputs, inputs)
_RESCALING = Rule(normalization.walk_rescaling, normalization.adjoint_rescaling, nothing, nothing)

LAYERS: dict[type, Rule] = {
    layers.Conv2D: Rule(convolution.walk, convolution.adjoint, inputs, nothing),
    layers.DepthwiseConv2D: Rule(
        convolution.walk_depthwise, convolution.adjoint_depthwise, inputs_for_argmax, nothing
    ),
    layers.SeparableConv2D: Rule(separable.walk),
    layers.Dense: Rule(dense.walk, dense.adjoint, inputs, nothing),
    layers.BatchNormalization: Rule(normalization.walk_batch, normalization.adjoint_batch, nothing, nothing),
    layers.LayerNormalization: Rule(normalization.walk_layer, normalization.adjoint_layer, nothing, inputs),
    layers.Embedding: Rule(shape.walk_nowhere, shape.adjoint_nowhere, nothing, nothing),
    layers.Rescaling: _RESCALING,
    layers.Normalization: _RESCALING,
    layers.MaxPooling2D: Rule(pooling.walk, pooling.adjoint_max, inputs, inputs),
    layers.AveragePooling2D: Rule(pooling.walk, pooling.adjoint_average, inputs, nothing),
    layers.GlobalAveragePooling2D: _GLOBAL_AVERAGE,
    layers.GlobalMaxPooling2D: _GLOBAL_MAX,
    layers.Add: _ADD,
    layers.Average: Rule(merging.walk_add, merging.adjoint_average, branches, nothing),
    layers.Maximum: Rule(merging.walk_extreme, merging.adjoint_extreme, branches, inputs),
    layers.Minimum: Rule(merging.walk_extreme, merging.adjoint_extreme, branches, inputs),
    layers.Multiply: _PRODUCT,
    layers.Subtract: Rule(merging.walk_subtract, merging.adjoint_subtract, inputs, nothing),
    layers.Concatenate: _CONCATENATE,
    layers.Flatten: _RESHAPE,
    layers.Reshape: _RESHAPE,
    layers.Permute: _GATHER,
    layers.RepeatVector: _GATHER,
    layers.UpSampling2D: _GATHER,
    layers.ZeroPadding2D: Rule(shape.walk_pad, shape.adjoint_pad, nothing, nothing),
    layers.Cropping2D: Rule(shape.walk_crop, shape.adjoint_crop, nothing, nothing),
    layers.Activation: _ACTIVATION,
    layers.ReLU: _ACTIVATION,
    layers.LeakyReLU: _ACTIVATION,
    layers.PReLU: _ACTIVATION,
    layers.ELU: _ACTIVATION,
    layers.Softmax: _ACTIVATION,
}

# Operators (``x + y``, ``keras.ops.relu(x)``) by the name of their class.
OPERATORS: dict[str, Rule] = {
    "Add": _ADD,
    "Subtract": Rule(merging.walk_subtract, merging.adjoint_subtract, branches, nothing),
    "Negative": Rule(merging.walk_negative, merging.adjoint_negative, nothing, nothing),
    "Multiply": _PRODUCT,
    "Maximum": Rule(merging.walk_extreme, merging.adjoint_extreme, branches, inputs),
    "Minimum": Rule(merging.walk_extreme, merging.adjoint_extreme, branches, inputs),
    "Divide": _SCALED,
    "TrueDivide": _SCALED,
    "Concatenate": _CONCATENATE,
    "Reshape": _RESHAPE,
    "ExpandDims": _RESHAPE,
    "Squeeze": _RESHAPE,
    "GetItem": _GATHER,
    "Transpose": _GATHER,
    "Mean": _GLOBAL_AVERAGE,
    "Max": _GLOBAL_MAX,
    "Amax": _GLOBAL_MAX,
}

ELEMENTWISE_OPERATORS = (
    "Relu",
    "Relu6",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Silu",
    "HardSilu",
    "Sigmoid",
    "HardSigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Softmax",
    "LogSoftmax",
)
OPERATORS.update(dict.fromkeys(ELEMENTWISE_OPERATORS, _ACTIVATION))

# Layers that change nothing when the model is used.
TRANSPARENT = (
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.AlphaDropout,
    layers.ActivityRegularization,
    layers.Identity,
)
LAYERS.update(dict.fromkeys(TRANSPARENT, _TRANSPARENT))

# Layers that Keras lacks, by the name of their class, wherever it is defined. Local response normalisation
# divides by a number near 1: evidence stays in place; the head freezes the denominator, y = x * (y / x).
BY_CLASS_NAME: dict[str, Rule] = {"LocalResponseNormalization": _ACTIVATION}


def register_rule(layer: type[keras.Layer], rule: Rule) -> None:
    """Teach the tracer a layer class of your own (and its subclasses)."""
    LAYERS[layer] = rule


def find_rule(operation: keras.Operation) -> Rule | None:
    """The rule of an operation, by its class or the nearest parent class; None where there is none."""
    _load_registered_packages()
    if not isinstance(operation, keras.Layer):
        return OPERATORS.get(type(operation).__name__)
    kind: Any = type(operation)
    for parent in kind.__mro__:
        # A subclass with a ``call`` of its own is another layer.
        if parent in LAYERS and (parent is kind or kind.call is parent.call):
            return LAYERS[parent]
    return BY_CLASS_NAME.get(kind.__name__)


def rule_of(call: Call) -> Rule:
    """The rule of one call.

    Raises:
        MissingRule: there is none.
    """
    if call.part == "activation":
        return _ACTIVATION
    rule = find_rule(call.operation)
    if rule is None:
        raise missing_rule(call, "rule")
    return rule


def missing_rule(call: Call, part: str) -> MissingRule:
    """The error for a call that cannot be traced."""
    kind = type(call.operation)
    return MissingRule(
        f"layer {call.name!r} of class {kind.__name__} ({kind.__module__}) has no {part}; register one with "
        f"gazeback.cnn_trace.register_rule({kind.__name__}, Rule(walk=..., adjoint=...))"
    )


_loaded = False


def _load_registered_packages() -> None:
    """Import the packages that bring rules of their own (entry points ``gazeback.rules``), once."""
    global _loaded
    if not _loaded:
        _loaded = True
        for entry in entry_points(group="gazeback.rules"):
            entry.load()
