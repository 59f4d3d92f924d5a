"""Excitation backpropagation: winning probabilities that pass down from one neuron.

Zhang, Bargal, Lin, Brandt, Shen, Sclaroff, *Top-Down Neural Attention by Excitation Backprop*, IJCV 2018
(ECCV 2016), section 3. Each rule of the tracer says by its ``excitation`` how its layer passes probabilities;
:data:`PASSED` has the computation for each.

*Excitatory* (a layer with weights, a mean): ``p_in = a * W+^T (p_out / (W+ a))``, with ``a`` the layer's
activations, W+ its positive weights and no bias. The paper assumes a >= 0. If a layer reads negative values
(pixels, a linear bottleneck), the smallest value of the image is subtracted from all. A batch normalisation
that is the only reader of a layer with weights is folded into it; a negative gamma flips the sign of the
weights. A *sum* splits the probability in proportion to the positive parts of its terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.rules.table import find_rule
from gazeback.eval.baselines.autodiff import Watch, carried, signals
from gazeback.eval.baselines.backward import Kind, Rule, applied, ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.errors import UserError

# A smaller sum of excitations counts as 0.
_NOTHING = 1e-20
# A sum without a positive term is split evenly.
_EVEN = 1e-9

Positive = Callable[[Sequence[Any]], Any]

INPUT = "input"
SHARE_OF_SIDE = 8
"""The sides of the default map are at least this fraction of the image's. For GoogLeNet this gives a map of
28 x 28, as in the paper."""


@compared
def excitation_backprop(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Compute the marginal winning probability (MWP) of each location.

    Args:
        model, images, target, layer, output: as for :func:`gazeback.cnn_trace.trace`.
        at: the layer whose neurons' probabilities are shown, or ``"input"`` for the pixels; by default the
            last map whose sides are at least an eighth of the image's and that no branch bypasses.
        raw: the map at its own resolution, ``[n, h, w]``; it sums to 1 if every neuron on the way has an
            excitatory input.

    Returns:
        float32 ``[n, H, W]``: the sum over the channels, upsampled bilinearly.

    Raises:
        UserError: a layer on the way has no rule; UserError, TraceError: a target or an input that does not
            fit.
    """
    return _sized(_probabilities(query, _shown(query, at), winning).sum(axis=-1), query, raw)


@compared
def contrastive_excitation_backprop(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Compute contrastive MWP: the neuron's winning probabilities minus those of its dual, whose weights are
    negated.

    Negative values of the channel sum are set to 0. Arguments, result and errors as for
    :func:`excitation_backprop`.
    """
    shown = _shown(query, at)
    # Both use the same neurons.
    difference = _probabilities(query, shown, winning) - _probabilities(query, shown, losing)
    return _sized(np.maximum(difference.sum(axis=-1), 0), query, raw)


def _probabilities(query: Query, shown: Tensor, kind: Kind) -> np.ndarray:
    return ask(query, [shown], kind).gradients[0]


def _shown(query: Query, at: str | None) -> Tensor:
    if at == INPUT:
        return query.image
    if at is not None:
        return query.map_of(at)
    height, width = query.pixels.shape[1:3]
    for call in reversed(query.graph.ancestors([query.start])):
        tensor = call.outputs[0]
        rows, columns = query.shape(tensor)[1:3] if tensor.is_map else (0, 0)
        large = rows * SHARE_OF_SIDE >= height and columns * SHARE_OF_SIDE >= width
        if large and tensor is not query.start and _sees_all(query, tensor):
            return tensor
    raise UserError(
        f"no map with an eighth of the image's sides lies on every way to {query.start.name!r}; name one "
        "with at="
    )


def _sees_all(query: Query, tensor: Tensor) -> bool:
    """Whether every path from the image to the start leads through a tensor."""
    around = query.graph.ancestors([query.start], known=frozenset([tensor]))
    return not any(query.image in call.inputs for call in around)


def _sized(maps: np.ndarray, query: Query, raw: bool) -> np.ndarray:
    return maps if raw else upsampled(maps, *query.pixels.shape[1:3])


def winning(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """The computation for every call."""
    folded = folded_normalizations(graph, _has_weights)
    calls = [call for call in graph.calls if call.depends_on_image and _excitation(call) != "routed"]
    return {call: _rule_of(call, folded.get(call)) for call in calls}


def losing(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """The same for the dual neuron: the weights of the layer that computes it are negated."""
    folded = folded_normalizations(graph, _has_weights)
    top = _nearest_with_weights(graph, start)
    return winning(graph, start) | {call: _rule_of(call, folded.get(call), sense=-1.0) for call in top}


def _rule_of(call: Call, folded: Call | None, sense: float = 1.0) -> Rule:
    normalization = folded and folded.operation
    passed = PASSED.get(_excitation(call) or "", _unknown)
    return partial(passed, normalization=normalization, sense=sense) if _has_weights(call) else passed


def _excitation(call: Call) -> str | None:
    if call.part == "activation":
        return "in place"
    rule = find_rule(call.operation)
    return None if rule is None else rule.excitation


def _has_weights(call: Call) -> bool:
    layer = call.operation
    return _excitation(call) in _EXCITATORY and isinstance(layer, keras.Layer) and bool(layer.weights)


def folded_normalizations(graph: Graph, has_weights: Callable[[Call], bool]) -> dict[Call, Call]:
    """The batch normalisations that are the only readers of a layer with weights, by the call of this
    layer."""
    readers: dict[Tensor, list[Call]] = {}
    for call in graph.calls:
        for tensor in call.inputs:
            readers.setdefault(tensor, []).append(call)
    folded = {}
    for tensor, calls in readers.items():
        alone = len(calls) == 1 and tensor not in graph.outputs
        if (
            alone
            and isinstance(calls[0].operation, layers.BatchNormalization)
            and tensor.call
            and has_weights(tensor.call)
        ):
            folded[tensor.call] = calls[0]
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


def _excited(positive: Positive, activations: Sequence[Any], arriving: Any) -> list[Any]:
    """``a * W+^T (p / (W+ a))`` for the activations of each input."""

    def weighed(watch: Watch) -> tuple[Any, None]:
        total = positive([watch(place, one) for place, one in enumerate(activations)])
        some = total > _NOTHING
        share = ops.where(some, arriving / ops.where(some, total, 1.0), 0.0)
        return total * ops.stop_gradient(share), None

    passed, _ = signals(weighed, range(len(activations)))
    return [a * p for a, p in zip(activations, passed, strict=True)]


def _from_zero(activations: Any) -> Any:
    """Shift the activations of each image that has negative ones by its smallest value."""
    axes = list(range(1, len(activations.shape)))
    return activations - ops.minimum(ops.min(activations, axis=axes, keepdims=True), 0.0)


def _one_to_one(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    return carried(output, inputs[:1], lambda arriving, _: [arriving])


def _linear(
    call: Call, inputs: Sequence[Any], output: Any, normalization: Any = None, sense: float = 1.0
) -> Any:
    """A layer that weighs its first input by its weights, all but its ``bias``; a mean has none."""
    layer: Any = call.operation
    bias = getattr(layer, "bias", None)
    positive = [
        (
            weight,
            0 * ops.convert_to_tensor(weight) if weight is bias else _positive(weight, normalization, sense),
        )
        for weight in getattr(layer, "weights", ())
    ]

    others = [ops.stop_gradient(x) for x in inputs[1:]]

    def excited(activations: Sequence[Any]) -> Any:
        with keras.StatelessScope(state_mapping=positive):
            return applied(call, [*activations, *others])

    return _weighted(excited, inputs, output)


def _separable(call: Call, inputs: Sequence[Any], output: Any, normalization: Any, sense: float) -> Any:
    """A depthwise convolution followed by a 1 x 1 convolution."""
    layer: Any = call.operation
    geometry = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
    first = partial(ops.depthwise_conv, data_format=layer.data_format, **geometry)
    depthwise = ops.convert_to_tensor(layer.depthwise_kernel)
    pointwise = _positive(layer.pointwise_kernel, normalization, sense)
    positive = _positive(depthwise, None, 1.0)
    middle = _weighted(lambda a: first(a[0], positive), inputs, first(inputs[0], depthwise))
    return _weighted(lambda a: ops.conv(a[0], pointwise, data_format=layer.data_format), [middle], output)


def _sum(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    if len(inputs) == 1:  # a constant is added
        return _one_to_one(call, inputs, output)

    def backward(arriving: Any, inputs: Sequence[Any]) -> list[Any]:
        return _excited(_total, [ops.relu(x) + _EVEN for x in inputs], arriving)

    return carried(output, inputs, backward)


def _difference(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    if len(inputs) == 1:
        return _one_to_one(call, inputs, output)

    def backward(arriving: Any, inputs: Sequence[Any]) -> list[Any]:
        terms = [ops.relu(inputs[0]) + _EVEN, ops.relu(-inputs[1]) + _EVEN]
        return _excited(_total, terms, arriving)

    return carried(output, inputs, backward)


def _total(terms: Sequence[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _product(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    if len(inputs) == 1:
        return _one_to_one(call, inputs, output)
    full = [x for x in call.inputs if x.shape == call.outputs[0].shape]
    keeps = call.inputs.index(full[0]) if full else 0

    def backward(arriving: Any, inputs: Sequence[Any]) -> list[Any]:
        return [arriving if i == keeps else ops.zeros_like(x) for i, x in enumerate(inputs)]

    return carried(output, inputs, backward)


def _unknown(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    def backward(arriving: Any, inputs: Sequence[Any]) -> list[Any]:
        raise UserError(
            f"layer {call.name!r} of class {type(call.operation).__name__} has no rule for excitation "
            "backprop; name a layer after it with at=, or use another method"
        )

    return carried(output, inputs, backward)


def _weighted(positive: Positive, inputs: Sequence[Any], output: Any) -> Any:
    return carried(
        output,
        inputs[:1],
        lambda arriving, inputs: _excited(positive, [_from_zero(inputs[0])], arriving),
    )


def _positive(weight: Any, normalization: Any, sense: float) -> Any:
    """W+ of weights, after multiplying by the sign of a folded batch normalisation and of the dual.

    The output channels are the last axis, or of a depthwise convolution the last two.
    """
    signed = sense * ops.convert_to_tensor(weight)
    if normalization is not None and normalization.scale:
        signs = ops.where(ops.convert_to_tensor(normalization.gamma) < 0, -1.0, 1.0)
        signed = signed * (
            signs if signed.shape[-1] == signs.shape[0] else ops.reshape(signs, signed.shape[-2:])
        )
    return ops.relu(signed)


_EXCITATORY: dict[str, Any] = {"linear": _linear, "separable": _separable}

# By the ``excitation`` of the tracer's rules. What is "routed" goes where the gradient goes.
PASSED: dict[str, Any] = {
    **_EXCITATORY,
    "sum": _sum,
    "difference": _difference,
    "product": _product,
    "in place": _one_to_one,
}
