"""Convolutions: Algorithm 2 of *CNN Fixations* (IEEE TIP 2018), and the exact adjoint.

In any dimension; a depthwise convolution is a grouped one with one channel per group.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.fan import Fan
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Each neuron goes on to the elements of its window that the selection keeps.

    As published: the channel with the largest sum of ``a * w`` over the window; inside it the centre of the
    window, or the place of the largest product.
    """
    return [(step.input, selection.window(Fan.of(step, evidence), evidence))]


def feeding(step: Step, evidence: Evidence) -> np.ndarray:
    """The largest single ``a * w`` that feeds each neuron, float32 ``[n]``."""
    return Fan.of(step, evidence).largest()


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """The transposed convolution ``sum over taps of W^T k``; the bias takes its own part."""
    kernel, groups = as_array(step.layer.kernel), step.layer.groups
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    window = Window.of(step.layer, below.shape[1:-1])
    per_in, per_out = kernel.shape[-2], kernel.shape[-1] // groups
    for g in range(groups):
        out = coefficients[..., g * per_out : (g + 1) * per_out]
        weights = kernel[..., g * per_out : (g + 1) * per_out]
        scatter(below[..., g * per_in : (g + 1) * per_in], window, lambda t: out @ weights[t].T)  # noqa: B023
    return [(step.input, below)], bias_part(step, coefficients)


def adjoint_depthwise(
    step: Step, coefficients: np.ndarray
) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """The transposed depthwise convolution."""
    kernel = as_array(step.layer.kernel)
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    window = Window.of(step.layer, below.shape[1:-1])
    split = coefficients.reshape(*coefficients.shape[:-1], *kernel.shape[-2:])
    scatter(below, window, lambda t: (split * kernel[t]).sum(axis=-1))
    return [(step.input, below)], bias_part(step, coefficients)


def bias_part(step: Step, coefficients: np.ndarray) -> np.ndarray:
    """What the bias of a convolution contributes, float ``[questions]``."""
    if not step.layer.use_bias:
        return np.zeros(len(coefficients))
    per_channel = coefficients.reshape(len(coefficients), -1, coefficients.shape[-1]).sum(axis=1)
    return per_channel @ as_array(step.layer.bias)


def scatter(below: np.ndarray, window: Window, of_tap: Callable[[tuple[int, ...]], np.ndarray]) -> None:
    """Add to ``below [questions, *map, channels]`` what each tap of the windows sends there.

    ``of_tap(tap)`` gives ``[questions, *output map, channels]``; what falls on padding is dropped.
    """
    for tap in window.taps:
        values = of_tap(tap)
        overlaps = [_overlap(window, axis, at, values.shape[1 + axis]) for axis, at in enumerate(tap)]
        outside, inside = zip(*overlaps, strict=True)
        below[(slice(None), *inside)] += values[(slice(None), *outside)]


def _overlap(window: Window, axis: int, tap: int, length: int) -> tuple[slice, slice]:
    """Output positions whose tap lies on the map, and where: slices of the output and of the input."""
    stride = window.stride[axis]
    offset = tap * window.dilation[axis] - window.pad_before[axis]
    first = max(0, (stride - 1 - offset) // stride)
    last = min(length - 1, (window.map_size[axis] - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)
