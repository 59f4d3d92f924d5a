"""The walk back: from evidence on one tensor to evidence on everything it came from."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.evidence import Evidence, union
from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.rules.table import Walk, missing_rule, rule_of
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(
    graph: Graph, recording: Recording, start: dict[Tensor, Evidence], selection: CNNFixations
) -> dict[Tensor, Evidence]:
    """Carry evidence back through every call that leads from an image to the start.

    Each call is visited once, after all its consumers. Returns the evidence at every tensor on the way.
    """
    found: dict[Tensor, list[Evidence]] = {tensor: [evidence] for tensor, evidence in start.items()}
    merged: dict[Tensor, Evidence] = {}

    def merge(tensor: Tensor) -> Evidence:
        return union(found[tensor], recording.shapes[tensor], once=selection.once)

    for call in reversed(graph.calls):
        for output in call.outputs:
            if output in found and call.depends_on_image:
                merged[output] = merge(output)
                step = Step(call, recording, output)
                for tensor, evidence in walk_rule(call)(step, merged[output], selection):
                    found.setdefault(tensor, []).append(evidence)
    merged.update((tensor, merge(tensor)) for tensor in graph.image_inputs if tensor in found)
    return merged


def walk_rule(call: Call) -> Walk:
    """The walk of a call's rule; raises MissingRule where it has none."""
    rule = rule_of(call)
    if rule.walk is None:
        raise missing_rule(call, "walk")
    return rule.walk


def read_by_walk(graph: Graph, start: list[Tensor], selection: CNNFixations) -> set[Tensor]:
    """The tensors whose values a walk from ``start`` will read."""
    wanted: set[Tensor] = set()
    for call in graph.ancestors(start):
        if call.depends_on_image:
            rule = rule_of(call)
            wanted.update(rule.walk_reads(call, selection))
    return wanted


def neuron_start(shape: tuple[int, ...], neurons: np.ndarray, questions: np.ndarray, count: int) -> Evidence:
    """Evidence of weight 1 on single neurons.

    Args:
        shape: of the tensor, batch axis included.
        neurons: int ``[n, rank]``.
        questions: int ``[n]``, the question that each neuron belongs to.
        count: the number of questions.
    """
    weights = np.zeros((len(neurons), count))
    weights[np.arange(len(neurons)), questions] = 1
    return union([Evidence.of(neurons, weights)], shape, once=False)
