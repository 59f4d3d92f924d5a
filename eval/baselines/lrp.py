"""Layer-wise relevance propagation: every layer divides the relevance of its outputs among its inputs.

Bach et al., *On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
Propagation*, PLOS ONE 2015. A *composite* says which rule each kind of layer has. The rules of convolutions
and dense layers are written on the description of linear layers (:mod:`gazeback.cnn_trace.rules.linear`); all
other layers pass relevance by the adjoint that the tracer has for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from keras import layers, ops

from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.head import adjoint_rule
from gazeback.cnn_trace.layout import as_stored, channels_last
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.rules.broadcasting import sum_back
from gazeback.cnn_trace.rules.kernels import as_array, weights
from gazeback.cnn_trace.rules.linear import Linear
from gazeback.cnn_trace.rules.normalization import batch
from gazeback.cnn_trace.rules.table import below, find_rule, rule_of
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.backward import check_scores, picked
from gazeback.eval.baselines.excitation import folded_normalizations
from gazeback.eval.baselines.query import Query, compared
from gazeback.lstm_trace.rules import adjoint as adjoint_recurrent

BATCH = 8

# Of every rule but the epsilon rule.
STABILIZER = 1e-6


@dataclass(frozen=True)
class Weighing:
    """A linear layer, with a batch normalisation folded into its weights.

    Attributes:
        layer: its geometry.
        weights: of the shape of :attr:`Linear.weights`.
        bias: float32 ``[filters]``.
        image: int ``[questions]``, the image of each question.
    """

    layer: Linear
    weights: np.ndarray
    bias: np.ndarray
    image: np.ndarray

    def divided(self, arriving: np.ndarray, totals: np.ndarray, stabilizer: float) -> np.ndarray:
        """Relevance ``[questions, ...]`` over the totals ``[images, ...]`` that its neurons share."""
        return arriving / stabilized(totals, stabilizer)[self.image]


LinearRule = Callable[[Weighing, np.ndarray, np.ndarray], np.ndarray]
"""``rule(weighing, inputs [images, ...], arriving [questions, ...])`` -> the relevance of the inputs
``[questions, ...]``."""


def epsilon_rule(weighing: Weighing, inputs: np.ndarray, arriving: np.ndarray, epsilon: float) -> np.ndarray:
    """``R_i = sum over j of a_i w_ij R_j / (z_j + epsilon sign z_j)``, with ``z_j`` the neuron's value."""
    layer, kernel = weighing.layer, weighing.weights
    total = layer.forward(inputs, kernel) + weighing.bias
    return inputs[weighing.image] * layer.adjoint(weighing.divided(arriving, total, epsilon), kernel)


def alpha_beta_rule(
    weighing: Weighing, inputs: np.ndarray, arriving: np.ndarray, alpha: float, beta: float
) -> np.ndarray:
    """The positive products share ``alpha R_j``, and the negative ones ``-beta R_j``.

    A bias counts as a product. With alpha 1 and beta 0 this is the z+ rule.
    """
    layer = weighing.layer
    high, low = np.maximum(inputs, 0), np.minimum(inputs, 0)
    positive, negative = np.maximum(weighing.weights, 0), np.minimum(weighing.weights, 0)
    parts = (
        (alpha, [(high, positive), (low, negative)], np.maximum(weighing.bias, 0)),
        (-beta, [(high, negative), (low, positive)], np.minimum(weighing.bias, 0)),
    )
    found = np.zeros((len(arriving), *inputs.shape[1:]), np.float32)
    for factor, products, bias in parts:
        products = [(values, kernel) for values, kernel in products if factor and values.any()]
        if not products:
            continue
        total = sum(layer.forward(*each) for each in products) + bias
        share = factor * weighing.divided(arriving, total, STABILIZER)
        for values, kernel in products:
            found += values[weighing.image] * layer.adjoint(share, kernel)
    return found


def flat_rule(weighing: Weighing, inputs: np.ndarray, arriving: np.ndarray) -> np.ndarray:
    """All inputs of a neuron share its relevance evenly."""
    ones = np.ones_like(weighing.weights)
    total = weighing.layer.forward(np.ones_like(inputs), ones)
    return weighing.layer.adjoint(weighing.divided(arriving, total, STABILIZER), ones)


@dataclass(frozen=True)
class Composite:
    """Which rule each kind of layer has.

    Attributes:
        convolution: the rule of convolutions.
        epsilon: of the epsilon rule, which dense and recurrent layers, sums and means have.
        first: the rule of linear layers that read the pixels; None: as the others.
    """

    convolution: LinearRule
    epsilon: float
    first: LinearRule | None = None

    def rule(self, call: Call, first: bool) -> LinearRule:
        """The rule of a layer with weights."""
        if first and self.first is not None:
            return self.first
        if isinstance(call.operation, layers.Dense):
            return partial(epsilon_rule, epsilon=self.epsilon)
        return self.convolution


z_plus_rule = partial(alpha_beta_rule, alpha=1.0, beta=0.0)


@partial(compared, any_rank=True)
def lrp(query: Query, epsilon: float = 0.01, raw: bool = False) -> np.ndarray:
    """LRP for captioners: Sun, Lapuschkin, Samek, Binder, *Explain and Improve: LRP-Inference Fine-Tuning for
    Image Captioning Models*, Information Fusion 2022.

    The epsilon rule through the decoder, gates and attention weights being constants, and alpha 1, beta 0
    through convolutions.

    Returns:
        float32 ``[n, H, W]`` with sign: the sum over the channels.
    """
    return _map(query, Composite(z_plus_rule, epsilon), raw)


@partial(compared, any_rank=True)
def lrp_epsilon_plus(query: Query, epsilon: float = 1e-6, raw: bool = False) -> np.ndarray:
    """EpsilonPlus: Kohlbrenner et al., *Towards Best Practice in Explaining Neural Network Decisions with
    LRP*, IJCNN 2020. The epsilon rule for dense layers, z+ for convolutions.

    Returns:
        float32 ``[n, H, W]`` with sign: the sum over the channels.
    """
    return _map(query, Composite(z_plus_rule, epsilon), raw)


@partial(compared, any_rank=True)
def lrp_epsilon_plus_flat(query: Query, epsilon: float = 1e-6, raw: bool = False) -> np.ndarray:
    """EpsilonPlusFlat, from the same paper: EpsilonPlus, and the flat rule where the pixels are read.

    Returns:
        float32 ``[n, H, W]`` with sign: the sum over the channels.
    """
    return _map(query, Composite(z_plus_rule, epsilon, flat_rule), raw)


@partial(compared, any_rank=True)
def lrp_epsilon_alpha2_beta1(query: Query, epsilon: float = 1e-6, raw: bool = False) -> np.ndarray:
    """EpsilonAlpha2Beta1, from the same paper: the epsilon rule for dense layers, alpha 2 and beta 1 for
    convolutions.

    Returns:
        float32 ``[n, H, W]`` with sign: the sum over the channels.
    """
    return _map(query, Composite(partial(alpha_beta_rule, alpha=2.0, beta=1.0), epsilon), raw)


def _map(query: Query, composite: Composite, raw: bool) -> np.ndarray:
    parts = []
    for first in range(0, len(query.pattern), BATCH):
        rows = slice(first, first + BATCH)
        parts.append(_relevance(query, rows, composite))
    maps = np.concatenate(parts)
    return maps if raw else maps.sum(axis=-1)


def _relevance(query: Query, rows: slice, composite: Composite) -> np.ndarray:
    """The relevance of the pixels for some rows of a query, float32 ``[rows, H, W, C]``."""
    start, graph = query.start, query.graph
    calls = [call for call in graph.ancestors([start], below=below) if call.depends_on_image]
    arrays = [array[rows] for array in query.arrays]
    kept, image = _distinct(arrays)
    wanted = {start}.union(*map(_reads, calls))
    recording = tracer_of(query.model).record([array[kept] for array in arrays], wanted)
    values = channels_last(start, recording[start])[image].astype(np.float32)
    chosen, _ = picked(ops.convert_to_tensor(values), ops.convert_to_tensor(query.pattern[rows]))
    relevance = as_array(chosen) * values
    check_scores(query, relevance.reshape(len(relevance), -1).sum(axis=1))
    folded = {c: norm for c, norm in folded_normalizations(graph, _weighs).items() if norm in calls}
    back = _Back(recording, image, composite, folded, _reading_pixels(calls))
    pending = {start: as_stored(start, relevance)}
    with weights(recording.weights):
        for call in reversed(calls):
            for output in set(call.outputs).intersection(pending):
                for tensor, part in back.below(call, output, pending.pop(output)):
                    pending[tensor] = pending[tensor] + part if tensor in pending else part
    nothing = np.zeros((len(image), *recording[query.image].shape[1:]), np.float32)
    return channels_last(query.image, pending.get(query.image, nothing)).astype(np.float32)


def _distinct(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each kind, and the kind of each row: the words of a caption share a photo."""
    known: dict[bytes, int] = {}
    rows = (b"".join(row.tobytes() for row in parts) for parts in zip(*arrays, strict=True))
    kind = np.array([known.setdefault(row, len(known)) for row in rows])
    return np.unique(kind, return_index=True)[1], kind


def _weighs(call: Call) -> bool:
    """Whether a call is a convolution or a dense layer."""
    rule = None if call.part == "activation" else find_rule(call.operation)
    return rule is not None and rule.stages is not None


def _reading_pixels(calls: Sequence[Call]) -> set[Call]:
    """The convolutions and dense layers that no other one lies before."""
    found, after = set(), set[Tensor]()
    for call in calls:
        if after.isdisjoint(call.inputs):
            if not _weighs(call):
                continue
            found.add(call)
        after.update(call.outputs)
    return found


def _reads(call: Call) -> set[Tensor]:
    """The tensors whose values relevance needs to pass a call."""
    rule = rule_of(call)
    if _weighs(call):
        return {call.inputs[0]}
    if rule.excitation == "in place":
        return set()
    read = set(rule.adjoint_reads(call, CNNFixations()))
    return read if rule.excitation == "routed" else read.union(call.inputs, call.outputs)


@dataclass(frozen=True)
class _Back:
    """One pass of relevance from the start to the pixels.

    Attributes:
        recording: the values of the forward pass; ``image``: int ``[questions]``, the row of each question.
        composite: the rules.
        folded: the batch normalisations that are folded, by the layer before them.
        first: the linear layers that read the pixels.
    """

    recording: Recording
    image: np.ndarray
    composite: Composite
    folded: dict[Call, Call]
    first: set[Call]

    def below(self, call: Call, output: Tensor, arriving: np.ndarray) -> list[tuple[Tensor, np.ndarray]]:
        """Divide the relevance of an output among the inputs.

        Where elements stay in place or are copied, so does relevance. A factor that is not constant takes the
        relevance of its product. Everything else is a sum, and has the epsilon rule.
        """
        rule, step = rule_of(call), Step(call, self.recording, output, self.image)
        if _weighs(call):
            return [(step.input, self._weighed(call, step, arriving))]
        if rule.excitation == "in place":
            return [(step.input, sum_back(step, arriving, step.input))]
        if rule.excitation == "routed":
            return adjoint_rule(call)(step, arriving)[0]
        adjoint, epsilon = adjoint_rule(call), self.composite.epsilon
        if isinstance(call.operation, layers.LSTM | layers.GRU):
            adjoint, epsilon = partial(adjoint_recurrent, stabilizer=epsilon), 0.0
        elif rule.excitation == "product":
            epsilon = 0.0
        total = stabilized(step.value(output), epsilon)
        each = np.divide(arriving, total, out=np.zeros_like(total), where=total != 0)
        return [(tensor, k * step.value(tensor)) for tensor, k in adjoint(step, each)[0]]

    def _weighed(self, call: Call, step: Step, arriving: np.ndarray) -> np.ndarray:
        """The relevance of the input of a layer with weights, stage by stage."""
        describe = rule_of(call).stages
        assert describe is not None  # it has weights
        turned = getattr(call.operation, "data_format", None) == "channels_first"
        stages = describe(step)
        value = self.recording[step.input].astype(np.float32, copy=False)
        if turned:
            value, arriving = channels_last(step.input, value), channels_last(step.output, arriving)
        weighings = [self._weighing(call, stage, stage is stages[-1]) for stage in stages]
        values = [value]
        for one in weighings[:-1]:
            values.append(one.layer.forward(values[-1], one.weights))
        rule = self.composite.rule(call, call in self.first)
        for one, entered in zip(reversed(weighings), reversed(values), strict=True):
            arriving = rule(one, entered, arriving)
        return as_stored(step.input, arriving) if turned else arriving

    def _weighing(self, call: Call, stage: Linear, last: bool) -> Weighing:
        """A stage with its weights; the last one has the bias, and the normalisation that is folded."""
        kernel, bias = stage.weights, np.zeros(stage.filters, np.float32)
        if stage.bias is not None:
            bias = as_array(stage.bias)
        if last and call in self.folded:
            norm = self.folded[call]
            factor, shift = batch(Step(norm, self.recording, norm.outputs[0])).terms()
            factor = np.broadcast_to(np.ravel(factor), bias.shape)
            kernel = kernel * factor.reshape(stage.groups, 1, -1)
            bias = bias * factor + np.ravel(shift)
        return Weighing(stage, kernel, bias, self.image)


def stabilized(total: np.ndarray, epsilon: float) -> np.ndarray:
    """Move a divisor away from 0 by epsilon."""
    return total + np.where(total < 0, -epsilon, epsilon).astype(np.float32)
