"""Elementwise linear layers: normalisations and constant factors, from their description."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.broadcasting import at, broadcast_back
from gazeback.cnn_trace.rules.geometry import in_place
from gazeback.cnn_trace.rules.linear import Elementwise, adjoint_elementwise
from gazeback.cnn_trace.rules.rule import Geometry, Reads, Rule, nothing
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(
    describe: Callable[[Step], Elementwise], step: Step, evidence: Evidence, selection: CNNFixations
) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place; its sign flips where the factor is negative."""
    sign = describe(step).sign
    if (sign < 0).any():
        evidence = evidence.turned(at(sign, evidence.coordinates))
    return [(step.input, broadcast_back(step, evidence, step.input))]


def rule(
    describe: Callable[[Step], Elementwise], reads: Reads = nothing, geometry: Geometry = in_place
) -> Rule:
    """The rule of a kind of elementwise linear layer, from its description.

    Args:
        describe: from a step to the description.
        reads: the tensors whose values ``terms`` reads.
        geometry: needed if the statistics come from more than one location.
    """
    parts = partial(walk, describe), partial(adjoint_elementwise, describe)
    return Rule(*parts, nothing, reads, geometry=geometry, excitation="in place")
