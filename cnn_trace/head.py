"""The head: an answer as an exact sum of contributions of the last spatial map and of the non-image inputs.

Every nonlinearity is frozen at its value in the forward pass. Then the part of the model after the last map
is linear, and ``answer = sum(k * map) + sum(k * other inputs) + bias`` to float precision (docs/method.md,
steps 1 and 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from gazeback.cnn_trace.errors import MissingRule, TraceError
from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.layout import shape_last
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.rules.activation import kind
from gazeback.cnn_trace.rules.rule import Adjoint
from gazeback.cnn_trace.rules.table import below, missing_rule, rule_of
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

# A map is finer than another if one of its sides is so many times as long.
_FINER = 1.5


@dataclass(frozen=True)
class Decomposition:
    """Answers as sums.

    Attributes:
        maps: coefficients ``[questions, height, width, channels]`` of each spatial map that feeds the
            answers.
        others: coefficients ``[questions, ...]`` of each tensor that does not depend on an image.
        bias: float64 ``[questions]``, the contributions of biases and constants.
    """

    maps: dict[Tensor, np.ndarray]
    others: dict[Tensor, np.ndarray]
    bias: np.ndarray


def decompose(
    graph: Graph,
    recording: Recording,
    target: Tensor,
    start: np.ndarray,
    image: np.ndarray,
    handoff: frozenset[Tensor],
) -> Decomposition:
    """Push coefficients from the target back to the hand-off maps and the non-image inputs.

    Args:
        graph: the model; ``recording``: of one forward pass with what :func:`read_by_head` asked for.
        target: the tensor on which the questions start.
        start: float32 ``[questions, ...]``, 1 at the explained neuron (or any weighting of neurons).
        image: int64 ``[questions]``, the row of the batch that each question is about.
        handoff: the maps at which to stop.
    """
    return decompose_all(graph, recording, {target: start}, image, handoff)


def decompose_all(
    graph: Graph,
    recording: Recording,
    starts: dict[Tensor, np.ndarray],
    image: np.ndarray,
    handoff: frozenset[Tensor],
    passes: Callable[[Call], bool] = lambda call: call.depends_on_image,
) -> Decomposition:
    """Decompose answers that start on several tensors, as :func:`decompose` does for one.

    Args:
        starts: for each tensor float32 ``[questions, ...]``, all zero for the questions that start elsewhere.
        graph, recording, image, handoff: as there.
        passes: whether coefficients pass through a call.
    """
    pending = dict(starts)
    result = Decomposition({}, {}, np.zeros(len(image)))
    for call in reversed(graph.calls):
        for output in call.outputs:
            if output not in pending:
                continue
            if output in handoff:
                result.maps[output] = pending.pop(output)
            elif not passes(call):
                result.others[output] = pending.pop(output)
            else:
                reads = frozenset(rule_of(call).adjoint_reads(call, CNNFixations()))
                step = Step(call, recording, output, image, reads)
                parts, bias = adjoint_rule(call)(step, pending.pop(output))
                result.bias[:] += bias
                for tensor, coefficients in parts:
                    pending[tensor] = pending[tensor] + coefficients if tensor in pending else coefficients
    for tensor, coefficients in pending.items():
        (result.maps if tensor in graph.image_inputs else result.others)[tensor] = coefficients
    return result


def adjoint_rule(call: Call) -> Adjoint:
    """The adjoint of a call's rule; raises MissingRule where it has none."""
    rule = rule_of(call)
    if rule.adjoint is None:
        raise missing_rule(call, "adjoint (how coefficients pass through it in the head)")
    return rule.adjoint


def to_embeddings(
    graph: Graph, recording: Recording, head: Decomposition, image: np.ndarray
) -> Decomposition:
    """Push coefficients on tensors that depend on words alone further to the embeddings of the words.

    Args:
        graph, image: as for :func:`decompose`; ``head``: what it returned.
        recording: it must also have the tensors of :func:`read_to_embeddings`.

    Returns:
        A decomposition of the sum of ``head.others``, without maps. Its ``others`` are embeddings of words,
        and tensors after them that no rule passes.
    """
    return decompose_all(graph, recording, head.others, image, frozenset(), passes=_leads_to_embedding)


def read_to_embeddings(graph: Graph, targets: Iterable[Tensor], selection: CNNFixations) -> set[Tensor]:
    """The tensors whose values :func:`to_embeddings` and its sums will read."""
    wanted: set[Tensor] = set()
    for call in graph.ancestors(targets, below=below):
        if _leads_to_embedding(call):
            wanted.update(rule_of(call).adjoint_reads(call, selection))
            wanted.update(t for t in (*call.inputs, *call.outputs) if "float" in t.dtype)
    return wanted


def _leads_to_embedding(call: Call) -> bool:
    """Whether a call depends on words alone, and a rule passes it towards their embeddings."""
    if call.depends_on_image or not call.depends_on_embedding:
        return False
    try:
        return adjoint_rule(call) is not None
    except MissingRule:
        return False


def handoff_maps(graph: Graph, target: Tensor, layer: str | None) -> frozenset[Tensor]:
    """Find the maps after which the head begins: the last ones with height and width, or those of one
    layer."""
    if layer is not None:
        maps = {call.outputs[0] for call in graph.calls_of(layer)}
        if not any(tensor.is_map for tensor in maps):
            raise TraceError(f"handoff layer {layer!r} has no map with height and width to hand evidence to")
        return frozenset(maps)
    if _is_image_map(target):
        return frozenset([target])
    found, seen, stack = set(), {target}, [target]
    while stack:
        call = stack.pop().call
        for tensor in below(call) if call is not None and call.depends_on_image else ():
            if _is_image_map(tensor) or tensor in graph.image_inputs:
                found.add(tensor)
            elif tensor not in seen:
                seen.add(tensor)
                stack.append(tensor)
    return frozenset(found)


def finer_maps(
    graph: Graph, tensor: Tensor, shapes: Mapping[Tensor, tuple[int, ...]], most: int
) -> list[Tensor]:
    """Find the maps before a map that have a finer grid, and that all its evidence passes.

    Of each grid the last one, down to the first layer that is not from map to map or has no adjoint.

    Args:
        shapes: of the tensors of a forward pass, batch axis included.
        most: the number of maps.

    Returns:
        The maps from coarse to fine, none as large as the image.
    """
    found: list[Tensor] = []
    largest = max(math.prod(shape_last(image, shapes[image])[1:-1]) for image in graph.image_inputs)
    frontier, last = {tensor}, shape_last(tensor, shapes[tensor])
    for call in reversed(graph.calls):
        reached = frontier.intersection(call.outputs)
        if not reached or len(found) == most:
            continue
        rule = rule_of(call)
        if rule.adjoint is None or rule.geometry is None or "softmax" in kind(call):
            break
        frontier = (frontier - reached) | {t for t in below(call) if _is_of_image(graph, t)}
        if len(frontier) == 1:
            (one,) = frontier
            shape = shape_last(one, shapes[one])
            if one.call is None or not one.is_map or len(shape) != len(last) or _is_padded(one.call):
                continue
            if math.prod(shape[1:-1]) >= largest:
                break
            if any(side >= _FINER * before for side, before in zip(shape[1:-1], last[1:-1], strict=True)):
                found.append(one)
                last = shape
    return found


def _is_padded(call: Call) -> bool:
    """Whether a call adds an edge that is no part of the image."""
    return type(call.operation).__name__.startswith(("ZeroPadding", "Pad"))


def _is_of_image(graph: Graph, tensor: Tensor) -> bool:
    return tensor in graph.image_inputs if tensor.call is None else tensor.call.depends_on_image


def _is_image_map(tensor: Tensor) -> bool:
    return tensor.is_map and (tensor.call is None or tensor.call.depends_on_image)


def read_by_head(
    graph: Graph, target: Tensor, handoff: frozenset[Tensor], selection: CNNFixations
) -> set[Tensor]:
    """The tensors whose values the decomposition will read; non-image inputs and maps included."""
    wanted: set[Tensor] = set(handoff)
    needed = {target} - handoff
    for call in reversed(graph.calls):
        for output in needed.intersection(call.outputs):
            if not call.depends_on_image:
                wanted.add(output)
                continue
            wanted.update(rule_of(call).adjoint_reads(call, selection))
            needed.update(set(below(call)) - handoff)
    return wanted
