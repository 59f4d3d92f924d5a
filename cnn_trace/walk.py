"""The walk back: from evidence on one tensor to evidence on the tensors before it."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.neurons import Evidence, union
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.rules.rule import Walk
from gazeback.cnn_trace.rules.table import below, missing_rule, rule_of
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
    for call in reversed(graph.calls):
        if not call.depends_on_image:
            continue
        for output in call.outputs:
            if output not in found:
                continue
            parts = found[output]
            arrived = parts[0]
            if len(parts) > 1 or not arrived.unique:
                arrived = union(parts, recording.shapes[output], once=selection.once)
            merged[output] = arrived
            rows = recording.shapes[output][0]
            for tensor, evidence in _below(call, recording, output, arrived, selection):
                found.setdefault(tensor, []).append(evidence.in_batch(recording.shapes[tensor][0], rows))
    for tensor in graph.image_inputs:
        if tensor in found:
            merged[tensor] = union(found[tensor], recording.shapes[tensor], once=selection.once)
    return merged


def _below(
    call: Call, recording: Recording, output: Tensor, evidence: Evidence, selection: CNNFixations
) -> list[tuple[Tensor, Evidence]]:
    if len(evidence):
        rule = walk_rule(call)
        reads = frozenset(rule_of(call).walk_reads(call, selection))
        return rule(Step(call, recording, output, reads=reads), evidence, selection)
    nothing = np.zeros((0, evidence.weights.shape[1]))
    return [(t, Evidence.of(np.zeros((0, len(t.shape))), nothing)) for t in call.inputs]


def walk_rule(call: Call) -> Walk:
    """The walk of a call's rule; raises MissingRule if it has none."""
    rule = rule_of(call)
    if rule.walk is None:
        raise missing_rule(call, "walk")
    return rule.walk


def read_by_walk(graph: Graph, start: list[Tensor], selection: CNNFixations) -> set[Tensor]:
    """The tensors whose values a walk from ``start`` will read."""
    wanted: set[Tensor] = set()
    for call in graph.ancestors(start, below=below):
        if call.depends_on_image:
            rule = rule_of(call)
            wanted.update(rule.walk_reads(call, selection))
    return wanted
