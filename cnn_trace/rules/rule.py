"""What a rule is: how evidence and coefficients pass through one kind of layer or operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Literal

import numpy as np

from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.geometry import Field
from gazeback.cnn_trace.rules.linear import Stages
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Walk = Callable[[Step, Evidence, CNNFixations], list[tuple[Tensor, Evidence]]]

Adjoint = Callable[[Step, np.ndarray], tuple[list[tuple[Tensor, np.ndarray]], Any]]

Geometry = Callable[[Step, Tensor, Field], Field]

# How a kind of layer passes winning probabilities of excitation backpropagation.
Excitation = Literal["linear", "separable", "sum", "difference", "product", "in place", "routed"]

Reads = Callable[[Call, CNNFixations], Iterable[Tensor]]


def nothing(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads no activation."""
    return ()


def inputs(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads the values of all inputs."""
    return call.inputs


def branches(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads the values of the inputs where there are several to choose from."""
    return call.inputs if len(call.inputs) > 1 else ()


def inputs_for_windows(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads its input only where the selection looks at the values inside a window."""
    return call.inputs if selection.reads_windows else ()


def inputs_if_proportional(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads its input only if the selection takes contributors in proportion."""
    return call.inputs if selection.proportional else ()


def inputs_and_outputs(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The rule reads what goes in and what comes out."""
    return (*call.inputs, *call.outputs)


def all_inputs(call: Call) -> Iterable[Tensor]:
    """Evidence and coefficients may propagate to every input."""
    return call.inputs


PARTS = ("walk", "adjoint", "feeding", "geometry", "stages")


@dataclass(frozen=True)
class Rule:
    """How one kind of layer or operator is traced.

    Attributes:
        walk: ``walk(step, evidence, selection)`` -> ``[(input tensor, evidence on it), ...]``.
        adjoint: ``adjoint(step, coefficients [questions, ...])`` -> ``([(input tensor, coefficients)],
            bias)``, such that ``sum(coefficients * output) == sum(below * input) + bias`` for every question.
        walk_reads, adjoint_reads: the tensors whose recorded values the two need.
        feeding: of layers that weigh their inputs: ``feeding(step, evidence)``, the largest single product
            that feeds each neuron, float32 ``[n]``.
        geometry: of layers from map to map: ``geometry(step, tensor, field)`` -> the rows and columns of an
            input tensor that the units see whose own rows and columns are ``field``. It raises ``ActsAlike``
            or ``SeesEverything`` (:mod:`gazeback.cnn_trace.rules.geometry`) where the place does not matter.
        stages: of convolutions and dense layers: ``stages(step)``, the description, channels last.
        below: the inputs to which evidence and coefficients may propagate. Inputs that count as constants,
            such as gates and attention weights, are left out.
        excitation: how the layer passes probabilities in excitation backpropagation
            (:mod:`gazeback.eval.baselines.excitation`): ``"linear"``, to its inputs by all its positive
            weights but its ``bias``; ``"separable"``, by two kernels in turn; to the terms of a ``"sum"`` or
            a ``"difference"``; to the trunk of a ``"product"``; ``"in place"``; ``"routed"``, as a gradient.
            None: it cannot.
    """

    walk: Walk | None = None
    adjoint: Adjoint | None = None
    walk_reads: Reads = inputs
    adjoint_reads: Reads = inputs
    feeding: Callable[[Step, Evidence], np.ndarray] | None = None
    geometry: Geometry | None = None
    stages: Callable[[Step], Stages] | None = None
    below: Callable[[Call], Iterable[Tensor]] = all_inputs
    excitation: Excitation | None = None

    def through(self, change: Callable[[Step], Step]) -> Rule:
        """The same rule, every part of which sees a step as ``change`` makes it."""

        def changed(part: Callable[..., Any] | None) -> Any:
            if part is None:
                return None
            return wraps(part)(lambda step, *others: part(change(step), *others))

        return replace(self, **{name: changed(getattr(self, name)) for name in PARTS})
