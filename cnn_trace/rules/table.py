"""The rule table: which rule traces which layer or operator. Read it from top to bottom.

The *walk* of a rule takes evidence on a layer's output to evidence on its inputs (in the trunk). Its
*adjoint* takes coefficients of the exact decomposition from the output to the inputs (in the head).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from typing import Any

import keras
import numpy as np
from keras import layers

from gazeback.cnn_trace.errors import MissingRule
from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.layout import turned_rule
from gazeback.cnn_trace.raw_tensorflow import RawFunction
from gazeback.cnn_trace.rules import (
    activation,
    contraction,
    convolution,
    dense,
    elementwise,
    gather,
    joining,
    linear,
    merging,
    normalization,
    operators,
    patches,
    pooling,
    powers,
    products,
    resampling,
    shape,
)
from gazeback.cnn_trace.rules.geometry import in_place
from gazeback.cnn_trace.rules.rule import (
    Rule,
    branches,
    inputs,
    inputs_and_outputs,
    inputs_for_windows,
    inputs_if_proportional,
    nothing,
)
from gazeback.cnn_trace.step import Step

# Each unit sees its own place only.
_in_place = partial(Rule, geometry=in_place)

# Each element is a copy of one input element, or a fixed mixture of a few.
_routed = partial(Rule, excitation="routed")

_ACTIVATION = _in_place(
    activation.walk, activation.adjoint, nothing, inputs_and_outputs, excitation="in place"
)

# Each output is divided by a number that depends on many inputs.
_NORMALIZED = replace(_ACTIVATION, geometry=normalization.geometry)

_FALLING = _in_place(powers.walk, activation.adjoint, inputs, inputs_and_outputs)

_POWER = _in_place(powers.walk_power, powers.adjoint_power, inputs, inputs_and_outputs)

_TRANSPARENT = _in_place(
    activation.walk_transparent, activation.adjoint_transparent, nothing, nothing, excitation="in place"
)

_ADD = _in_place(merging.walk_add, merging.adjoint_add, branches, nothing, excitation="sum")

_SUBTRACT = _in_place(
    merging.walk_subtract, merging.adjoint_subtract, branches, nothing, excitation="difference"
)

_EXTREME = _in_place(merging.walk_extreme, merging.adjoint_extreme, branches, inputs, excitation="routed")

_PRODUCT = replace(
    _in_place(products.walk, products.adjoint, products.walk_reads, branches, excitation="product"),
    below=products.followed,
)

_CONTRACTION = Rule(
    contraction.walk,
    contraction.adjoint,
    inputs,
    contraction.adjoint_reads,
    geometry=contraction.geometry,
    below=contraction.followed,
)

_QUOTIENT = replace(
    _in_place(products.walk_divide, products.adjoint_divide, branches, inputs, excitation="product"),
    below=products.divided,
)

_CONCATENATE = _in_place(
    joining.walk_concatenate, joining.adjoint_concatenate, nothing, nothing, excitation="routed"
)

_STACK = _routed(joining.walk_stack, joining.adjoint_stack, nothing, nothing)

_RESHAPE = _routed(
    shape.walk_reshape, shape.adjoint_reshape, nothing, nothing, geometry=shape.geometry_reshape
)

_GATHER = _routed(gather.walk, gather.adjoint, nothing, nothing, geometry=gather.geometry)

_PAD = _routed(shape.walk_pad, shape.adjoint_pad, nothing, nothing, geometry=shape.geometry_pad)

_CROP = _routed(shape.walk_crop, shape.adjoint_crop, nothing, nothing, geometry=shape.geometry_crop)

_RESAMPLE = _routed(
    resampling.walk, resampling.adjoint, inputs_if_proportional, nothing, geometry=resampling.geometry
)

_CONVOLUTION = convolution.rule(convolution.ordinary)

_DEPTHWISE = convolution.rule(convolution.depthwise, inputs_for_windows)

_SEPARABLE = convolution.rule(convolution.separable, excitation="separable")

_TRANSPOSED = convolution.rule(convolution.transposed, excitation=None)

_MAX_POOL = _routed(pooling.walk_max, pooling.adjoint_max, inputs, inputs, geometry=pooling.geometry)

_AVERAGE_POOL = Rule(
    pooling.walk_average,
    partial(linear.adjoint, pooling.averaging),
    inputs,
    nothing,
    geometry=pooling.geometry,
    excitation="linear",
)

_global = partial(Rule, geometry=pooling.geometry_global)

_GLOBAL_AVERAGE = _global(
    pooling.walk_mean, pooling.adjoint_global_average, inputs, pooling.masks, excitation="linear"
)

_GLOBAL_MAX, _MINIMUM = (
    _global(
        partial(pooling.walk_extreme, choose),
        partial(pooling.adjoint_extreme, choose),
        inputs,
        inputs,
        excitation="routed",
    )
    for choose in (np.argmax, np.argmin)
)

_RESCALING = elementwise.rule(normalization.rescaling)

LAYERS: dict[type, Rule] = {
    layers.Conv1D: _CONVOLUTION,
    layers.Conv2D: _CONVOLUTION,
    layers.Conv3D: _CONVOLUTION,
    layers.DepthwiseConv1D: _DEPTHWISE,
    layers.DepthwiseConv2D: _DEPTHWISE,
    layers.SeparableConv1D: _SEPARABLE,
    layers.SeparableConv2D: _SEPARABLE,
    layers.Conv1DTranspose: _TRANSPOSED,
    layers.Conv2DTranspose: _TRANSPOSED,
    layers.Conv3DTranspose: _TRANSPOSED,
    layers.Dense: dense.RULE,
    layers.EinsumDense: _CONTRACTION,
    layers.BatchNormalization: elementwise.rule(normalization.batch),
    layers.LayerNormalization: elementwise.rule(normalization.layer, inputs, normalization.geometry),
    layers.GroupNormalization: elementwise.rule(normalization.group, inputs, normalization.geometry_group),
    layers.UnitNormalization: _NORMALIZED,
    layers.Embedding: Rule(shape.walk_nowhere, shape.adjoint_nowhere, nothing, nothing),
    layers.Rescaling: _RESCALING,
    layers.Normalization: _RESCALING,
    layers.MaxPooling1D: _MAX_POOL,
    layers.MaxPooling2D: _MAX_POOL,
    layers.MaxPooling3D: _MAX_POOL,
    layers.AveragePooling1D: _AVERAGE_POOL,
    layers.AveragePooling2D: _AVERAGE_POOL,
    layers.AveragePooling3D: _AVERAGE_POOL,
    layers.GlobalAveragePooling1D: _GLOBAL_AVERAGE,
    layers.GlobalAveragePooling2D: _GLOBAL_AVERAGE,
    layers.GlobalAveragePooling3D: _GLOBAL_AVERAGE,
    layers.GlobalMaxPooling1D: _GLOBAL_MAX,
    layers.GlobalMaxPooling2D: _GLOBAL_MAX,
    layers.GlobalMaxPooling3D: _GLOBAL_MAX,
    layers.Add: _ADD,
    layers.Average: replace(_ADD, adjoint=merging.adjoint_average),
    layers.Maximum: _EXTREME,
    layers.Minimum: _EXTREME,
    layers.Multiply: _PRODUCT,
    layers.Subtract: _SUBTRACT,
    layers.Concatenate: _CONCATENATE,
    layers.Flatten: _RESHAPE,
    layers.Reshape: _RESHAPE,
    layers.Permute: _GATHER,
    layers.RepeatVector: _GATHER,
    layers.UpSampling1D: _RESAMPLE,
    layers.UpSampling2D: _RESAMPLE,
    layers.UpSampling3D: _RESAMPLE,
    layers.Resizing: _RESAMPLE,
    layers.CenterCrop: _RESAMPLE,
    layers.ZeroPadding1D: _PAD,
    layers.ZeroPadding2D: _PAD,
    layers.ZeroPadding3D: _PAD,
    layers.Cropping1D: _CROP,
    layers.Cropping2D: _CROP,
    layers.Cropping3D: _CROP,
    layers.Masking: _ACTIVATION,
    layers.Activation: _ACTIVATION,
    layers.ReLU: _ACTIVATION,
    layers.LeakyReLU: _ACTIVATION,
    layers.PReLU: _ACTIVATION,
    layers.ELU: _ACTIVATION,
    layers.Softmax: _NORMALIZED,
}

if hasattr(layers, "RMSNormalization"):  # Keras 3.9 and later
    LAYERS[layers.RMSNormalization] = elementwise.rule(
        normalization.root_mean_square, inputs, normalization.geometry
    )


def _as_layer(layer_of: Callable[[Step], operators.LayerOf], layer: type[keras.Layer]) -> Rule:
    """The rule of an operator that does what a layer does."""
    return LAYERS[layer].through(lambda step: operators.as_layer(step, layer_of(step)))


# Operators (``x + y``, ``keras.ops.relu(x)``) by the name of their class.
OPERATORS: dict[str, Rule] = {
    "Add": _ADD,
    "Subtract": _SUBTRACT,
    "Negative": elementwise.rule(merging.negative),
    "Multiply": _PRODUCT,
    "Maximum": _EXTREME,
    "Minimum": _EXTREME,
    "Divide": _QUOTIENT,
    "TrueDivide": _QUOTIENT,
    "Square": _FALLING,
    "Power": _POWER,
    "Absolute": _FALLING,
    "Reciprocal": _FALLING,
    "Rsqrt": _FALLING,
    "Where": _in_place(joining.walk_where, joining.adjoint_where, inputs, inputs),
    "Concatenate": _CONCATENATE,
    "Stack": _STACK,
    "Reshape": _RESHAPE,
    "ExpandDims": _RESHAPE,
    "Squeeze": _RESHAPE,
    "Pad": _routed(
        shape.walk_pad_operator,
        shape.adjoint_pad_operator,
        nothing,
        nothing,
        geometry=shape.geometry_pad_operator,
    ),
    "Resize": _RESAMPLE,
    "ExtractPatches": _routed(patches.walk, patches.adjoint, nothing, nothing, geometry=patches.geometry),
    "Mean": _GLOBAL_AVERAGE,
    "Max": _GLOBAL_MAX,
    "Amax": _GLOBAL_MAX,
    "Min": _MINIMUM,
    "Amin": _MINIMUM,
    "Sum": _global(pooling.walk_sum, pooling.adjoint_sum, inputs, nothing, excitation="linear"),
    "Matmul": _CONTRACTION,
    "Einsum": _CONTRACTION,
    "Dot": _CONTRACTION,
    "Tensordot": _CONTRACTION,
    "Conv": replace(_as_layer(operators.convolution, layers.Conv2D), excitation=None),
    "DepthwiseConv": replace(_as_layer(operators.depthwise, layers.DepthwiseConv2D), excitation=None),
    "MaxPool": _as_layer(operators.pool, layers.MaxPooling2D),
    "AveragePool": _as_layer(operators.pool, layers.AveragePooling2D),
    "BatchNorm": _as_layer(operators.batch_normalization, layers.BatchNormalization),
    "Cast": _TRANSPARENT,
    "StopGradient": _TRANSPARENT,
    "ConvertToTensor": _TRANSPARENT,
    "Copy": _TRANSPARENT,
}

# Operators that move or copy elements, whatever their arguments.
MOVING_OPERATORS = (
    "GetItem",
    "Transpose",
    "Swapaxes",
    "Moveaxis",
    "Flip",
    "Fliplr",
    "Flipud",
    "Rot90",
    "Roll",
    "Split",
    "Unstack",
    "Take",
    "Repeat",
    "Tile",
    "DepthToSpace",
    "SpaceToDepth",
)

OPERATORS.update(dict.fromkeys(MOVING_OPERATORS, _GATHER))

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
    "Celu",
    "LogSigmoid",
    "HardTanh",
    "TanhShrink",
    "SoftShrink",
    "HardShrink",
    "Squareplus",
    "Exp",
    "Exp2",
    "Expm1",
    "Log",
    "Log2",
    "Log10",
    "Log1p",
    "Sqrt",
    "Cbrt",
    "Erf",
    "Arctan",
    "Sinh",
    "Clip",
    "Normalize",
    "Softmax",
    "LogSoftmax",
)

OPERATORS.update(dict.fromkeys(ELEMENTWISE_OPERATORS, _ACTIVATION))
OPERATORS.update(dict.fromkeys(("Normalize", "Softmax", "LogSoftmax"), _NORMALIZED))

# Layers that change nothing when the model is used; Keras has had some of them for a few versions only.
TRANSPARENT = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
    "AugMix",
    "CutMix",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
)

LAYERS.update({getattr(layers, name): _TRANSPARENT for name in TRANSPARENT if hasattr(layers, name)})

# Layers that Keras lacks, by the name of their class, wherever it is defined. Local response normalisation
# divides by a number near 1: evidence stays in place; the head freezes the denominator, y = x * (y / x).
BY_CLASS_NAME: dict[str, Rule] = {"LocalResponseNormalization": _ACTIVATION}


def register_rule(layer: type[keras.Layer], rule: Rule) -> None:
    """Teach the tracer a layer class of your own (and its subclasses)."""
    LAYERS[layer] = rule
    _rules_of_classes.clear()


_rules_of_classes: dict[type, Rule | None] = {}


def find_rule(operation: keras.Operation) -> Rule | None:
    """The rule of an operation, by its class or the nearest parent class; None where there is none."""
    _load_registered_packages()
    kind = type(operation)
    if kind not in _rules_of_classes:
        _rules_of_classes[kind] = _rule_of_class(kind)
    return _rules_of_classes[kind]


def _rule_of_class(kind: Any) -> Rule | None:
    if not issubclass(kind, keras.Layer):
        return OPERATORS.get(kind.__name__)
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
    first = getattr(call.operation, "data_format", None) == "channels_first"
    return turned_rule(rule) if first else rule


def below(call: Call) -> Iterable[Tensor]:
    """The inputs of a call to which evidence and coefficients may propagate."""
    rule = _ACTIVATION if call.part == "activation" else find_rule(call.operation)
    return call.inputs if rule is None else rule.below(call)


def missing_rule(call: Call, part: str) -> MissingRule:
    """The error for a call that cannot be traced."""
    kind, operation = type(call.operation), call.operation
    if isinstance(operation, RawFunction):
        return MissingRule(
            f"{call.name!r} is a TensorFlow function, through which nothing is traced; use keras.ops in the "
            f"call of its layer, or {WITHOUT_RULES}"
        )
    closed = f" and cannot be opened ({call.closed})" if call.closed else ""
    return MissingRule(
        f"layer {call.name!r} of class {kind.__name__} ({kind.__module__}) has no {part}{closed}; register "
        f"one with gazeback.cnn_trace.register_rule({kind.__name__}, Rule(walk=..., adjoint=...)), or "
        f"{WITHOUT_RULES}"
    )


# The compared methods that only run the model, or differentiate it.
WITHOUT_RULES = "choose a method that needs none: occlusion, saliency, gradient-input, integrated-gradients"


_loaded = False


def _load_registered_packages() -> None:
    """Import the packages that bring rules of their own (entry points ``gazeback.rules``), once."""
    global _loaded
    if not _loaded:
        _loaded = True
        for entry in entry_points(group="gazeback.rules"):
            entry.load()
