"""Run the flat graph forward and backward, with a backward pass that is replaced call by call.

Every compared method that goes back through a network is the gradient with the backward pass of some calls
replaced. A *rule* keeps the value of a call and changes its gradient. A *kind* of backward pass is a function
that gives each call its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import ops

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.recording import execute
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.eval.baselines.autodiff import Watch, compiled, signals
from gazeback.eval.baselines.query import EVERYWHERE, STRONGEST, Query
from gazeback.models.errors import UserError

BATCH = 16
SCORES = ("logit", "log-probability", "probability")

Rule = Callable[[Call, Sequence[Any], Any], Any]
"""``rule(call, inputs, output)`` returns the output again, with another gradient."""

Kind = Callable[[Graph, Tensor], dict[Call, Rule]]
"""``kind(graph, start)`` returns the rules of the calls whose backward pass is replaced."""


def plain(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """The unchanged gradient."""
    return {}


def applied(call: Call, inputs: Sequence[Any]) -> Any:
    """Run one call on other values of its inputs; of a layer with a fused activation, this part alone."""
    values = dict(zip(call.inputs, inputs, strict=True))
    execute(call, values, call.outputs)
    return values[call.outputs[0]]


@dataclass(frozen=True)
class Answer:
    """The result of a backward pass.

    Attributes:
        scores: float32 ``[n]``; ``neurons``: int ``[n, rank - 1]``, the neurons of these scores (for all
            neurons of a channel, the score is their mean).
        values: the value of each requested tensor, channels last; ``gradients``: the signal that arrived
            there.
    """

    scores: np.ndarray
    neurons: np.ndarray
    values: list[np.ndarray]
    gradients: list[np.ndarray]


def ask(query: Query, at: Sequence[Tensor] = (), kind: Kind = plain, score: str = "logit") -> Answer:
    """Compute the score of each image's neuron, and the signal that passes back from it to some tensors.

    Args:
        query: the neurons; ``at``: the tensors, none for the scores alone.
        kind: the kind of backward pass.
        score: ``"logit"`` (the neuron's own value), ``"log-probability"`` or ``"probability"``.

    Raises:
        UserError: a score that the start does not have, or one that is not finite; a tensor of integers.
    """
    _check_score(query, score)
    _check_differentiable(at)
    passes = _passes.setdefault(query.model, {})
    key = (query.start, tuple(at), kind, score if score == "logit" else f"{query.output_activation} {score}")
    if key not in passes:
        passes[key] = _Pass(query.graph, query.start, tuple(at), kind, key[3])
    answer = passes[key](query.arrays, query.pattern)
    check_scores(query, answer.scores)
    return answer


def check_scores(query: Query, scores: np.ndarray) -> None:
    """Raise UserError if a score that is to be explained is not finite."""
    if not np.isfinite(scores).all():
        raise UserError(
            f"{query.start.name!r} holds NaN or infinite values for this input: there is nothing to explain"
        )


_passes: WeakKeyDictionary[keras.Model, dict[Any, _Pass]] = WeakKeyDictionary()


def _check_score(query: Query, score: str) -> None:
    if score not in SCORES:
        raise UserError(f"score must be one of {', '.join(map(repr, SCORES))}, got {score!r}")
    if score != "logit" and query.output_activation is None:
        raise UserError(
            f"a layer's neuron has no probability: with layer= the score is 'logit', not {score!r}"
        )


def _check_differentiable(at: Sequence[Tensor]) -> None:
    for tensor in at:
        if "float" not in tensor.dtype:
            raise UserError(
                f"{tensor.name!r} holds {tensor.dtype}, through which nothing passes back; build the model "
                "with a float32 input, or name a layer after it with at="
            )


class _Pass:
    """A forward and backward pass, compiled once for all batch sizes (on JAX: for each)."""

    def __init__(self, graph: Graph, start: Tensor, at: tuple[Tensor, ...], kind: Kind, score: str) -> None:
        self._start, self._at, self._score = start, at, score
        self._calls = graph.ancestors([start])
        self._rules = kind(graph, start)
        self._inputs = graph.inputs
        # If rules apply, a fused activation runs separately from its layer.
        self._wanted = {start} | ({t for c in self._calls for t in c.outputs} if self._rules else set(at))
        specs = [keras.KerasTensor((None, *t.shape[1:]), t.dtype) for t in graph.inputs]
        coordinates = keras.KerasTensor((None, len(start.shape) - 1), "int32")
        self._compiled = compiled(self._run, [specs, coordinates], variables_of(self._calls))

    def __call__(self, arrays: Sequence[np.ndarray], pattern: np.ndarray) -> Answer:
        parts = []
        for first in range(0, len(pattern), BATCH):
            chunk = slice(first, first + BATCH)
            parts.append(self._compiled([x[chunk] for x in arrays], pattern[chunk]))
        found = [np.concatenate([as_array(x) for x in column]) for column in zip(*parts, strict=True)]
        middle = 2 + len(self._at)
        return Answer(found[0], found[1], found[2:middle], found[middle:])

    def _run(self, inputs: Sequence[Any], pattern: Any) -> list[Any]:
        def scored(watch: Watch) -> tuple[Any, list[Any]]:
            values = self._forward(inputs, watch)
            found = _channels_last(self._start, ops.cast(values[self._start], "float32"))
            asked, neurons = picked(found, pattern)
            scores = ops.sum(asked * _SCORED[self._score](found), axis=tuple(range(1, len(found.shape))))
            return scores, [scores, neurons, *(values[tensor] for tensor in self._at)]

        # A score does not depend on other images, so the gradient of the sum is each image's own gradient.
        gradients, [scores, neurons, *at] = signals(scored, self._at)
        last = [_channels_last(t, x) for t, x in zip(self._at * 2, [*at, *gradients], strict=False)]
        return [scores, neurons, *last]

    def _forward(self, inputs: Sequence[Any], watch: Watch) -> dict[Tensor, Any]:
        values = dict(zip(self._inputs, inputs, strict=True))
        watched = set(self._at)
        for tensor in watched.intersection(values):
            values[tensor] = watch(tensor, values[tensor])
        for call in self._calls:
            execute(call, values, self._wanted)
            if call in self._rules:
                output = call.outputs[0]
                values[output] = self._rules[call](call, [values[t] for t in call.inputs], values[output])
            for tensor in watched.intersection(call.outputs):
                values[tensor] = watch(tensor, values[tensor])
        return values


def variables_of(calls: Iterable[Call]) -> list[keras.Variable]:
    """The variables of the layers that some calls run."""
    layers = [call.operation for call in calls if isinstance(call.operation, keras.Layer)]
    return list({id(one): one for layer in layers for one in layer.variables}.values())


_SCORED: dict[str, Callable[[Any], Any]] = {
    "logit": lambda values: values,
    "softmax probability": ops.softmax,
    "softmax log-probability": ops.log_softmax,
    "sigmoid probability": ops.sigmoid,
    "sigmoid log-probability": ops.log_sigmoid,
}


def picked(values: Any, pattern: Any) -> tuple[Any, Any]:
    """Find the neurons of a pattern in values ``[n, ...]``: weights of the same shape, and the neurons.

    The weights of an image sum to 1. They are on its strongest neuron that fits the pattern, or uniform on
    all if the pattern is ``EVERYWHERE``. The neurons are the pattern with its open coordinates filled in.
    """
    rank = len(values.shape) - 1
    shape = ops.shape(values)[1:]
    fits = ops.ones_like(values, "bool")
    for axis in range(rank):
        place = ops.reshape(
            ops.arange(shape[axis], dtype="int32"), [-1 if i == axis else 1 for i in range(rank)]
        )
        wanted = ops.reshape(pattern[:, axis], [-1] + [1] * rank)
        fits = fits & ((wanted < 0) | (wanted == place))
    flat = ops.reshape(values, (ops.shape(values)[0], -1))
    fits = ops.reshape(fits, ops.shape(flat))
    best = ops.cast(ops.argmax(ops.where(fits, flat, np.finfo(np.float32).min), axis=1), "int32")
    everywhere = ops.any(pattern == EVERYWHERE, axis=1, keepdims=True)
    strongest = ops.arange(ops.shape(flat)[1], dtype="int32")[None] == best[:, None]
    weights = ops.cast(ops.where(everywhere, fits, strongest), values.dtype)
    weights = weights / ops.sum(weights, axis=1, keepdims=True)
    places: list[Any] = []
    for size in reversed(shape):
        places.insert(0, best % size)
        best = best // size
    neurons = ops.where(pattern == STRONGEST, ops.stack(places, axis=1), pattern)
    return ops.reshape(weights, ops.shape(values)), neurons


def _channels_last(tensor: Tensor, values: Any) -> Any:
    if not tensor.channels_first or len(values.shape) < 3:
        return values
    return ops.transpose(values, [0, *range(2, len(values.shape)), 1])
