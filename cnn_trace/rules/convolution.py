"""Convolutions of every kind: Algorithm 2 of *CNN Fixations* (IEEE TIP 2018).

In any dimension, grouped or not. A depthwise convolution is a grouped one with one channel in each group; a
separable one is a depthwise convolution and a 1x1 convolution on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules import linear
from gazeback.cnn_trace.rules.fan import fan_of
from gazeback.cnn_trace.rules.geometry import Field, undefined
from gazeback.cnn_trace.rules.linear import Linear, Stages
from gazeback.cnn_trace.rules.rule import Excitation, Reads, Rule, inputs, nothing
from gazeback.cnn_trace.rules.window import TransposedWindow, Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def ordinary(step: Step) -> Stages:
    """A convolution, in groups or not."""
    layer, width = step.layer, step.shape(step.input)[-1] // step.layer.groups
    return (_weighing(step, layer.kernel, _window(step), width, layer.groups),)


def depthwise(step: Step) -> Stages:
    """A depthwise convolution."""
    return (_weighing(step, step.layer.kernel, _window(step), 1, step.shape(step.input)[-1]),)


def separable(step: Step) -> Stages:
    """A depthwise convolution and a 1x1 convolution."""
    layer, channels, places = step.layer, step.shape(step.input)[-1], step.shape(step.output)[1:-1]
    between = channels * layer.depth_multiplier
    return (
        Linear(layer, layer.depthwise_kernel, _window(step), places, 1, between, channels),
        _weighing(step, layer.pointwise_kernel, Window.point(places), between),
    )


def transposed(step: Step) -> Stages:
    """A transposed convolution."""
    inner, outer = step.shape(step.input), step.shape(step.output)
    window = TransposedWindow.of_maps(step.layer, inner[1:-1], outer[1:-1])
    return (_weighing(step, step.layer.kernel, window, inner[-1]),)


def _window(step: Step) -> Window:
    return Window.of(step.layer, step.shape(step.input)[1:-1])


def _weighing(step: Step, kernel: Any, window: Window, width: int, groups: int = 1) -> Linear:
    """The last stage of a layer, which has its filters and its bias."""
    layer, (*places, filters) = step.layer, step.shape(step.output)[1:]
    bias = layer.bias if layer.use_bias else None
    return Linear(layer, kernel, window, tuple(places), width, filters, groups, bias)


def walk(
    describe: Callable[[Step], Stages], step: Step, evidence: Evidence, selection: CNNFixations
) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the elements of each neuron's window that the selection keeps.

    As published: the channel with the largest sum of ``a * w`` over the window; inside it the centre of the
    window, or the place of the largest product. Of a separable convolution, the 1x1 part chooses the
    depthwise output with the largest ``a * w``, which has one input channel.
    """
    return [(step.input, selection.window(fan_of(describe(step), step, evidence), evidence))]


def feeding(describe: Callable[[Step], Stages], step: Step, evidence: Evidence) -> np.ndarray:
    """The largest single ``a * w`` that feeds each neuron, float32 ``[n]``."""
    return fan_of(describe(step), step, evidence).largest()


def geometry(describe: Callable[[Step], Stages], step: Step, tensor: Tensor, field: Field) -> Field:
    """Each unit sees its window."""
    window = describe(step)[0].window
    if isinstance(window, TransposedWindow) and window.has_gaps:
        raise undefined(step, "leaves places between its taps empty")
    return window.seen(field)


def rule(
    describe: Callable[[Step], Stages],
    walk_reads: Reads = inputs,
    excitation: Excitation | None = "linear",
) -> Rule:
    """The rule of a kind of convolution, from its description."""
    return Rule(
        partial(walk, describe),
        partial(linear.adjoint, describe),
        walk_reads,
        nothing,
        feeding=partial(feeding, describe),
        geometry=partial(geometry, describe),
        stages=describe,
        excitation=excitation,
    )
