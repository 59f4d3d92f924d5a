"""Transposed convolutions, of one to three dimensions: Algorithm 2 of *CNN Fixations*, and the exact adjoint.

An ordinary convolution from the output back to the input has the same windows. Output place p is fed by
every input place y and tap t with ``p = y * stride - pad + t * dilation``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.convolution import bias_part
from gazeback.cnn_trace.rules.fan import Fan
from gazeback.cnn_trace.rules.geometry import Field, undefined
from gazeback.cnn_trace.rules.kernels import as_array, derived
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


@dataclass(frozen=True)
class TransposedWindow(Window):
    """The input places that feed the outputs of a transposed convolution: :class:`Window`, read backwards."""

    @classmethod
    def of_step(cls, step: Step) -> TransposedWindow:
        """The window of a layer; ``pad_before`` is that of the convolution that it transposes."""
        inner, outer = (tuple(step.shape(tensor)[1:-1]) for tensor in (step.input, step.output))
        backward = Window.of(step.layer, outer)
        return cls(backward.size, backward.stride, backward.dilation, backward.pad_before, inner)

    def elements(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As for any window: flat indices ``[n, taps]``, and whether a place has its tap there."""
        flat = np.zeros((len(positions), 1), np.int64)
        inside = np.ones((len(positions), 1), bool)
        for axis, length in enumerate(self.map_size):
            taps = np.arange(self.size[axis]) * self.dilation[axis] - self.pad_before[axis]
            place, rest = np.divmod(positions[:, axis, None] - taps, self.stride[axis])
            within = (rest == 0) & (place >= 0) & (place < length)
            np.clip(place, 0, length - 1, out=place)
            flat = (flat[:, :, None] * length + place[:, None]).reshape(len(positions), -1)
            inside = (inside[:, :, None] & within[:, None]).reshape(len(positions), -1)
        return flat, inside

    def seen(self, field: Field) -> Field:
        """From the first input place that reaches the first position to the last that reaches the last."""
        each = zip(field, self.size, self.stride, self.dilation, self.pad_before, strict=True)
        return tuple(
            (-((first + pad - (size - 1) * dilation) // -stride), (last + pad) // stride)
            for (first, last), size, stride, dilation, pad in each
        )

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """The input place nearest the middle of all that may feed a position, int ``[n, axes]``."""
        doubled = 2 * (positions + self.pad_before) - np.multiply(np.subtract(self.size, 1), self.dilation)
        nearest = (doubled + self.stride) // np.multiply(2, self.stride)
        return np.clip(nearest, 0, np.subtract(self.map_size, 1))


class TransposedFan(Fan):
    """The inputs of some neurons of a transposed convolution."""

    def __init__(self, step: Step, neurons: np.ndarray, sense: np.ndarray) -> None:
        self.step, self.neurons, self.sense = step, neurons, sense
        self.shape = step.shape(step.input)
        self.window = TransposedWindow.of_step(step)
        self.groups, self.group, self.taps = 1, 0, math.prod(self.window.size)
        self.filters, self.width = step.layer.kernel.shape[-2:]

    @cached_property
    def weights(self) -> np.ndarray:
        """The kernel ``[..., out, in]``, one row for each tap and output channel, and a row of zeros."""

        def laid_out(kernel: np.ndarray) -> np.ndarray:
            rows = kernel.reshape(-1, kernel.shape[-1])
            return np.concatenate([rows, np.zeros_like(rows[:1])])

        return derived(self.step.layer, self.step.layer.kernel, laid_out)

    def strongest_place(self, channel: np.ndarray) -> np.ndarray:
        """As for any convolution; where no place feeds the neuron (strides beyond the kernel), the centre."""
        fed = (self.rows[1] < self.taps * self.filters).any(axis=1)
        return np.where(fed, super().strongest_place(channel), self.centre(channel)[0])


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Each neuron goes on to those of the places that feed it which the selection keeps.

    As published: the channel with the largest sum of ``a * w`` over these places; inside it the place nearest
    their middle, or that of the largest product.
    """
    fan = TransposedFan(step, evidence.coordinates, evidence.sense)
    return [(step.input, selection.window(fan, evidence))]


def feeding(step: Step, evidence: Evidence) -> np.ndarray:
    """The largest single ``a * w`` that feeds each neuron, float32 ``[n]``."""
    return TransposedFan(step, evidence.coordinates, evidence.sense).largest()


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """The window, where its places lie side by side."""
    window = TransposedWindow.of_step(step)
    for size, stride, dilation in zip(window.size, window.stride, window.dilation, strict=True):
        if stride > size or (stride > 1 and dilation > 1):
            raise undefined(step, "leaves places between its taps empty")
    return window.seen(field)


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """The ordinary convolution of the coefficients; the bias takes its own part."""
    kernel, window = as_array(step.layer.kernel), TransposedWindow.of_step(step)
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    for tap in window.taps:
        out, inside = _connected(window, tap, coefficients.shape[1:-1])
        below[(slice(None), *inside)] += coefficients[(slice(None), *out)] @ kernel[tap]
    return [(step.input, below)], bias_part(step, coefficients)


def _connected(
    window: TransposedWindow, tap: tuple[int, ...], outer: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the output and of the input that one tap connects."""
    out, inside = [], []
    for axis, length in enumerate(window.map_size):
        stride, shift = window.stride[axis], tap[axis] * window.dilation[axis] - window.pad_before[axis]
        first = max(0, -(shift // stride))
        last = max(first - 1, min(length - 1, (outer[axis] - 1 - shift) // stride))
        out.append(slice(first * stride + shift, max(first * stride, last * stride + 1) + shift, stride))
        inside.append(slice(first, last + 1))
    return tuple(out), tuple(inside)
