"""Maps of attention: the weights themselves, attention rollout, and the rules of Chefer et al.

They see no values and no layers between, only the softmaxes of attention: which query looks at which key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.head import handoff_maps
from gazeback.cnn_trace.rules.activation import kind
from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.errors import UserError

Kind = Literal["image", "words", "cross"]

_SUMMING = ("Einsum", "Matmul", "Dot", "Tensordot", "Multiply")
"""The operators that weigh values with attention."""


@dataclass(frozen=True, eq=False)
class Attention:
    """A softmax of attention.

    Attributes:
        weights: the tensor; ``axis``: of its keys.
        kind: places that look at places (``"image"``), words at words, or words at places (``"cross"``).
    """

    weights: Tensor
    axis: int
    kind: Kind

    def fits(self, query: Query, places: set[int]) -> bool:
        """Whether its keys are so many places, or as many words as look at them."""
        shape = query.shape(self.weights)
        if self.kind == "words":
            return len(shape) > 2 and self.axis == len(shape) - 1 and shape[-1] == shape[-2]
        return shape[self.axis] in places

    def heads(self, values: np.ndarray) -> np.ndarray:
        """Values of the weights' shape as float64 ``[n, heads, queries, keys]``."""
        values = np.moveaxis(values.astype(np.float64), self.axis, -1)
        if values.ndim == 2:
            values = values[:, None]
        return values.reshape(len(values), -1, *values.shape[-2:])


@compared
def attention(query: Query, raw: bool = False) -> np.ndarray:
    """Show the attention weights: where the target's step looks.

    Source: Xu et al., *Show, Attend and Tell*, ICML 2015, section 5.4. The weights are averaged over heads,
    and over the layers of cross-attention. In a classifier they are those of the last layer: of the class
    token, or averaged over the places.

    Args:
        raw: the weights at their own resolution, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, upsampled bilinearly.

    Raises:
        UserError: the target's step has no attention to the places of a map.
    """
    seen = _Seen.of(query)
    found = [weights.mean(axis=1) for weights in seen.values("cross")]
    looks = np.mean(found, axis=0) if found else seen.values("image")[-1].mean(axis=1)
    return seen.shown(looks, bool(found), raw)


@compared
def rollout(query: Query, raw: bool = False) -> np.ndarray:
    """Multiply the attention of all layers, each with its residual connection.

    Source: Abnar, Zuidema, *Quantifying Attention Flow in Transformers*, ACL 2020, section 3: the mean of the
    heads plus the identity, rows summing to 1, from the first layer to the last. Cross-attention hands half
    of a word to the places that it looks at.

    Args:
        raw: at the resolution of the places, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, upsampled bilinearly.

    Raises:
        UserError: the target's step has no attention to the places of a map.
    """
    seen = _Seen.of(query)
    n, places = len(query.pixels), seen.places
    of_places, of_words = np.tile(np.eye(places), (n, 1, 1)), np.zeros((n, seen.steps, places))
    for which, weights in seen.in_order():
        mean = weights.mean(axis=1)
        mixed = 0.5 * mean + 0.5 * np.eye(mean.shape[1]) if which != "cross" else mean
        if which == "image":
            of_places = mixed @ of_places
        elif which == "words":
            of_words = mixed @ of_words
        else:
            of_words = 0.5 * of_words + 0.5 * mixed @ of_places
    crossed = seen.has("cross")
    return seen.shown(of_words if crossed else of_places, crossed, raw)


@compared
def chefer(query: Query, raw: bool = False) -> np.ndarray:
    """Add up relevance along attention, each weight times its gradient where that is positive.

    Source: Chefer, Gur, Wolf, *Generic Attention-model Explainability for Interpreting Bi-Modal and
    Encoder-Decoder Transformers*, ICCV 2021, equations 5 to 11.

    Args:
        raw: at the resolution of the places, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, upsampled bilinearly.

    Raises:
        UserError: the target's step has no attention to the places of a map.
    """
    seen = _Seen.of(query)
    n, places, steps = len(query.pixels), seen.places, seen.steps
    of_places, of_words = np.tile(np.eye(places), (n, 1, 1)), np.tile(np.eye(steps), (n, 1, 1))
    crossed = np.zeros((n, steps, places))
    for which, weights, gradients in seen.with_gradients():
        relevance = np.maximum(weights * gradients, 0).mean(axis=1)  # equation 5
        if which == "image":
            of_places = of_places + relevance @ of_places  # equation 6
        elif which == "words":
            of_words, crossed = of_words + relevance @ of_words, crossed + relevance @ crossed
        else:  # equations 8 to 10
            normal = np.swapaxes(_normalised(of_words), -1, -2)
            crossed = crossed + normal @ relevance @ _normalised(of_places)
    return seen.shown(crossed if seen.has("cross") else of_places, seen.has("cross"), raw)


def _normalised(relevance: np.ndarray) -> np.ndarray:
    """Equations 8 and 9: the relevance without its identity, rows summing to 1, and the identity again."""
    identity = np.eye(relevance.shape[-1])
    rest = relevance - identity
    total = rest.sum(axis=-1, keepdims=True)
    return np.divide(rest, total, out=np.zeros_like(rest), where=total != 0) + identity


@dataclass(frozen=True, eq=False)
class _Seen:
    """The attention that a query's target depends on, in the order of the forward pass.

    Attributes:
        found: the softmaxes; ``weights``, ``gradients``: of each, float64 ``[n, heads, queries, keys]``.
        grid: rows and columns of the places; ``token``: a class token comes before them.
        step: int ``[n]``, the step of each target, -1 for the last.
    """

    query: Query
    found: list[Attention]
    weights: list[np.ndarray]
    gradients: list[np.ndarray]
    grid: tuple[int, int]
    token: bool
    step: np.ndarray

    @classmethod
    def of(cls, query: Query) -> _Seen:
        grids = _grids(query)
        sizes = {rows * columns + extra for rows, columns in grids for extra in (0, 1)}
        found = [one for one in _attentions(query) if one.fits(query, sizes)]
        seen = [one for one in found if one.kind != "words"]
        if not seen:
            raise UserError(
                f"{query.start.name!r} depends on no attention to the places of a map; choose another "
                "method, such as evidence or grad-cam"
            )
        places = _keys(query, seen[-1])
        grid = next(g for g in grids if places - g[0] * g[1] in (0, 1))
        answer = ask(query, [one.weights for one in found])
        weights = [one.heads(x) for one, x in zip(found, answer.values, strict=True)]
        gradients = [one.heads(x) for one, x in zip(found, answer.gradients, strict=True)]
        has_steps = query.pattern.shape[1] > 1
        step = answer.neurons[:, 0] if has_steps else np.full(len(query.pattern), -1)
        return cls(query, found, weights, gradients, grid, places > grid[0] * grid[1], step)

    @property
    def places(self) -> int:
        """How many keys the places are, a class token included."""
        return self.grid[0] * self.grid[1] + self.token

    @property
    def steps(self) -> int:
        """How many words look."""
        return max((w.shape[2] for which, w in self.in_order() if which != "image"), default=1)

    def has(self, which: Kind) -> bool:
        return any(one.kind == which for one in self.found)

    def values(self, which: Kind) -> list[np.ndarray]:
        return [w for kind, w in self.in_order() if kind == which]

    def in_order(self) -> Iterator[tuple[Kind, np.ndarray]]:
        return ((one.kind, w) for one, w in zip(self.found, self.weights, strict=True))

    def with_gradients(self) -> Iterator[tuple[Kind, np.ndarray, np.ndarray]]:
        kinds = (one.kind for one in self.found)
        return zip(kinds, self.weights, self.gradients, strict=True)

    def shown(self, relevance: np.ndarray, of_words: bool, raw: bool) -> np.ndarray:
        """The rows ``[n, queries, places]`` of the targets' steps, the class token or the mean, as maps."""
        if of_words:
            last = relevance.shape[1] - 1
            rows = relevance[
                np.arange(len(relevance)), np.where(self.step < 0, last, np.minimum(self.step, last))
            ]
        else:
            rows = relevance[:, 0] if self.token else relevance.mean(axis=1)
        maps = rows[:, int(self.token) :].reshape(-1, *self.grid).astype(np.float32)
        return maps if raw else upsampled(maps, *self.query.pixels.shape[1:3])


def _grids(query: Query) -> list[tuple[int, int]]:
    """The rows and columns of the last maps before the target."""
    maps = handoff_maps(query.graph, query.start, None) - set(query.graph.inputs)
    shapes = [query.shape(tensor)[1:3] for tensor in maps]
    return [(int(rows), int(columns)) for rows, columns in shapes]


def _keys(query: Query, one: Attention) -> int:
    return query.shape(one.weights)[one.axis]


def _attentions(query: Query) -> Iterator[Attention]:
    """The softmaxes that weigh values, before the target and not before an earlier output, in order."""
    graph = query.graph
    earlier = _earlier(graph, query.start)
    before = graph.ancestors([query.start])
    words = set(graph.inputs) - set(graph.image_inputs)
    for call in before:
        if call in earlier or kind(call) != "softmax" or call.part == "linear":
            continue
        weights = call.outputs[0]
        values = _weighed(before, weights)
        if values:
            yield Attention(weights, _axis(call), _kind(graph, call, values, words))


def _kind(graph: Graph, call: Call, values: list[Tensor], words: set[Tensor]) -> Kind:
    rank = len(call.outputs[0].shape)
    if any(graph.inputs_of(x) & words for x in values):
        return "words"
    square = rank > 2 and call.outputs[0].shape[-1] == call.outputs[0].shape[-2]
    return "image" if square and not graph.inputs_of(call.outputs[0]) & words else "cross"


def _earlier(graph: Graph, start: Tensor) -> set[Call]:
    """The calls before the outputs that come before the target's own, as those of earlier words do."""
    found: set[Call] = set()
    for output in graph.outputs:
        calls = set(graph.ancestors([output]))
        if start.call in calls or output is start:
            return found
        found |= calls
    return found


def _weighed(calls: list[Call], weights: Tensor) -> list[Tensor]:
    """The values that attention weights are multiplied with; they may be moved or dropped out before."""
    reached, found = {weights}, list[Tensor]()
    for call in calls:
        if not reached.intersection(call.inputs):
            continue
        if type(call.operation).__name__ in _SUMMING:
            found += [x for x in call.inputs if x not in reached]
        elif len(call.inputs) == 1:
            reached.update(call.outputs)
    return found


def _axis(call: Call) -> int:
    """The axis of a softmax, counted from the front."""
    axis = getattr(call.operation, "axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    return int(axis) % len(call.outputs[0].shape)
