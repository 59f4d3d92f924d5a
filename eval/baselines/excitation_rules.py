"""Rules by which winning probabilities pass down through each kind of layer; read the table at the end first.

*Excitatory* (a layer with weights, a mean): ``p_in = a * W+^T (p_out / (W+ a))``, with ``a`` the layer's
activations, W+ its positive weights and no bias (Zhang et al., IJCV 2018, section 3.2). The paper assumes a
>= 0. If a layer reads negative values (pixels, a linear bottleneck), the smallest value of the image is
subtracted from all. A batch normalisation that is the only reader of a layer with weights is folded into it;
a negative gamma flips the sign of the weights. *One to one*: the probability stays in place, also in any
other batch normalisation. *Routed*: the gradient moves it as the forward pass moved the values (pools: to the
maximum). A *sum* splits it in proportion to the positive parts of its terms. A *product* gives it to the
factor that is not a gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.rules.table import ELEMENTWISE_OPERATORS, MOVING_OPERATORS, TRANSPARENT
from gazeback.eval.baselines.backward import Rule, applied, carried
from gazeback.models.errors import UserError

# A smaller sum of excitations counts as 0.
_NOTHING = 1e-20
# A sum without a positive term is split evenly.
_EVEN = 1e-9

Positive = Callable[[Sequence[tf.Tensor]], tf.Tensor]


def winning(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """The rule of every call."""
    folded = _folded_normalizations(graph)
    return {
        call: rule
        for call in graph.calls
        if call.depends_on_image and (rule := _rule_of(call, folded.get(call))) is not None
    }


def losing(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """The rules for the dual neuron: the weights of the layer that computes it are negated."""
    folded = _folded_normalizations(graph)
    top = {
        call: rule
        for call in _nearest_with_weights(graph, start)
        if (rule := _rule_of(call, folded.get(call), sense=-1.0)) is not None
    }
    return winning(graph, start) | top


def _rule_of(call: Call, normalization: Any, sense: float = 1.0) -> Rule | None:
    """The rule of one call; None if the gradient itself routes the probability."""
    if call.part == "activation":
        return _one_to_one
    operation = call.operation
    for kinds, rule in LAYERS:
        if _is_one_of(operation, kinds):
            return partial(rule, normalization=normalization, sense=sense) if _has_weights(call) else rule
    kind = type(operation).__name__
    if isinstance(operation, keras.Layer):
        return _one_to_one if kind == "LocalResponseNormalization" else _unknown
    return OPERATORS.get(kind, _unknown)


def _has_weights(call: Call) -> bool:
    return call.part != "activation" and _is_one_of(call.operation, WITH_WEIGHTS)


def _is_one_of(operation: Any, kinds: Sequence[Any]) -> bool:
    # A subclass with a ``call`` of its own is another layer.
    return any(isinstance(operation, kind) and type(operation).call is kind.call for kind in kinds)


def _folded_normalizations(graph: Graph) -> dict[Call, Any]:
    """The batch normalisations that are the only readers of a layer with weights, by the call of this
    layer."""
    readers: dict[Tensor, list[Call]] = {}
    for call in graph.calls:
        for tensor in call.inputs:
            readers.setdefault(tensor, []).append(call)
    folded = {}
    for tensor, calls in readers.items():
        layer: Any = calls[0].operation
        alone = len(calls) == 1 and tensor not in graph.outputs
        if (
            alone
            and isinstance(layer, layers.BatchNormalization)
            and tensor.call
            and _has_weights(tensor.call)
        ):
            folded[tensor.call] = layer
    return folded


def _nearest_with_weights(graph: Graph, start: Tensor) -> set[Call]:
    """The calls with weights that lead to the start without another such call between."""
    found, stack, seen = set(), [start], {start}
    while stack:
        call = stack.pop().call
        if call is None or not call.depends_on_image:
            continue
        if _has_weights(call):
            found.add(call)
            continue
        stack += [tensor for tensor in call.inputs if tensor not in seen]
        seen.update(call.inputs)
    return found


def _excited(positive: Positive, activations: Sequence[tf.Tensor], arriving: tf.Tensor) -> list[tf.Tensor]:
    """``a * W+^T (p / (W+ a))`` for the activations of each input."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(activations)
        total = positive(activations)
    some = total > _NOTHING
    share = tf.where(some, arriving / tf.where(some, total, 1), 0)
    passed = tape.gradient(total, activations, share, unconnected_gradients="zero")
    return [a * p for a, p in zip(activations, passed, strict=True)]


def _from_zero(activations: tf.Tensor) -> tf.Tensor:
    """Shift the activations of each image that has negative ones by its smallest value."""
    axes = list(range(1, len(activations.shape)))
    return activations - tf.minimum(tf.reduce_min(activations, axis=axes, keepdims=True), 0)


def _one_to_one(call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    return carried(output, inputs[:1], lambda arriving: [arriving])


def _mean(call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    def backward(arriving: tf.Tensor) -> list[tf.Tensor]:
        return _excited(lambda a: applied(call, a), [_from_zero(inputs[0])], arriving)

    return carried(output, inputs, backward)


def _sum(call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    if len(inputs) == 1:  # a constant is added
        return _one_to_one(call, inputs, output)

    def backward(arriving: tf.Tensor) -> list[tf.Tensor]:
        return _excited(_total, [tf.nn.relu(x) + _EVEN for x in inputs], arriving)

    return carried(output, inputs, backward)


def _difference(call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    if len(inputs) == 1:
        return _one_to_one(call, inputs, output)

    def backward(arriving: tf.Tensor) -> list[tf.Tensor]:
        terms = [tf.nn.relu(inputs[0]) + _EVEN, tf.nn.relu(-inputs[1]) + _EVEN]
        return _excited(_total, terms, arriving)

    return carried(output, inputs, backward)


def _total(terms: Sequence[tf.Tensor]) -> tf.Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _product(call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    if len(inputs) == 1:
        return _one_to_one(call, inputs, output)
    full = [x for x in call.inputs if x.shape == call.outputs[0].shape]
    keeps = call.inputs.index(full[0]) if full else 0

    def backward(arriving: tf.Tensor) -> list[tf.Tensor]:
        return [arriving if i == keeps else tf.zeros_like(x) for i, x in enumerate(inputs)]

    return carried(output, inputs, backward)


def _unknown(call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    def backward(arriving: tf.Tensor) -> list[tf.Tensor]:
        raise UserError(
            f"layer {call.name!r} of class {type(call.operation).__name__} has no rule for excitation "
            "backprop; name a layer after it with at=, or use another method"
        )

    return carried(output, inputs, backward)


def _convolution(
    call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor, normalization: Any, sense: float
) -> tf.Tensor:
    layer: Any = call.operation
    kernel = _positive(layer.kernel, normalization, sense)
    return _weighted(lambda a: layer.convolution_op(a[0], kernel), inputs, output)


def _dense(
    call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor, normalization: Any, sense: float
) -> tf.Tensor:
    layer: Any = call.operation
    kernel = _positive(layer.kernel, normalization, sense)
    return _weighted(lambda a: ops.matmul(a[0], kernel), inputs, output)


def _depthwise(
    call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor, normalization: Any, sense: float
) -> tf.Tensor:
    layer: Any = call.operation
    kernel = layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
    positive = tf.reshape(_positive(_columns(kernel), normalization, sense), kernel.shape)
    return _weighted(lambda a: _depthwise_convolution(layer, a[0], positive), inputs, output)


def _separable(
    call: Call, inputs: Sequence[tf.Tensor], output: tf.Tensor, normalization: Any, sense: float
) -> tf.Tensor:
    """The rule of a depthwise convolution followed by a 1 x 1 convolution."""
    layer: Any = call.operation
    middle = _depthwise_convolution(layer, inputs[0], layer.depthwise_kernel)
    middle = _depthwise(call, inputs, middle, None, 1.0)
    pointwise = _positive(layer.pointwise_kernel, normalization, sense)
    return _weighted(lambda a: ops.conv(a[0], pointwise, data_format=layer.data_format), [middle], output)


def _depthwise_convolution(layer: Any, maps: tf.Tensor, kernel: Any) -> tf.Tensor:
    geometry = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
    return ops.depthwise_conv(maps, kernel, data_format=layer.data_format, **geometry)


def _weighted(positive: Positive, inputs: Sequence[tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    return carried(output, inputs, lambda arriving: _excited(positive, [_from_zero(inputs[0])], arriving))


def _columns(kernel: Any) -> tf.Tensor:
    """Reorder a depthwise kernel ``[kh, kw, in, multiplier]`` so that its output channels are last."""
    return tf.reshape(tf.convert_to_tensor(kernel), [*kernel.shape[:2], -1])


def _positive(kernel: Any, normalization: Any, sense: float) -> tf.Tensor:
    """W+ of a kernel ``[..., out]``, after multiplying by the sign of a folded batch normalisation and of the
    dual."""
    kernel = sense * tf.convert_to_tensor(kernel)
    if normalization is not None and normalization.scale:
        kernel *= tf.where(tf.convert_to_tensor(normalization.gamma) < 0, -1.0, 1.0)
    return tf.nn.relu(kernel)


WITH_WEIGHTS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)

LAYERS: list[tuple[tuple[Any, ...], Any]] = [
    ((layers.Conv2D,), _convolution),
    ((layers.DepthwiseConv2D,), _depthwise),
    ((layers.SeparableConv2D,), _separable),
    ((layers.Dense,), _dense),
    ((layers.AveragePooling2D, layers.GlobalAveragePooling2D), _mean),
    ((layers.Add, layers.Average), _sum),
    ((layers.Subtract,), _difference),
    ((layers.Multiply,), _product),
    (
        (
            layers.Activation,
            layers.ReLU,
            layers.LeakyReLU,
            layers.PReLU,
            layers.ELU,
            layers.Softmax,
            layers.BatchNormalization,
            layers.LayerNormalization,
            layers.Rescaling,
            layers.Normalization,
        ),
        _one_to_one,
    ),
    # Routed.
    (
        (
            layers.MaxPooling2D,
            layers.GlobalMaxPooling2D,
            layers.Maximum,
            layers.Minimum,
            layers.Concatenate,
            layers.Flatten,
            layers.Reshape,
            layers.Permute,
            layers.RepeatVector,
            layers.UpSampling2D,
            layers.ZeroPadding2D,
            layers.Cropping2D,
            *(getattr(layers, name) for name in TRANSPARENT if hasattr(layers, name)),
        ),
        None,
    ),
]

_ROUTED = (
    "Concatenate",
    "Stack",
    "Reshape",
    "Ravel",
    "ExpandDims",
    "Squeeze",
    "Pad",
    "MaxPool",
    "Max",
    "Amax",
)
OPERATORS: dict[str, Rule | None] = {
    **dict.fromkeys(ELEMENTWISE_OPERATORS, _one_to_one),
    **dict.fromkeys((*_ROUTED, *MOVING_OPERATORS, "Maximum", "Minimum", "Cast", "Copy", "ConvertToTensor")),
    "Negative": _one_to_one,
    "BatchNorm": _one_to_one,
    "Mean": _mean,
    "Sum": _mean,
    "AveragePool": _mean,
    "Add": _sum,
    "Subtract": _difference,
    "Multiply": _product,
    "Divide": _product,
    "TrueDivide": _product,
}
