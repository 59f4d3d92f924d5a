"""Separable convolutions: a depthwise convolution and a 1x1 convolution on it, in one layer."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.convolution import bias_part, scatter
from gazeback.cnn_trace.rules.fan import Fan, rows_of_largest
from gazeback.cnn_trace.rules.kernels import as_array, derived
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


class SeparableFan(Fan):
    """The inputs of a separable convolution's neurons, through each channel of the depthwise part.

    ``width`` counts the depthwise outputs; each of them has one input channel.
    """

    def __init__(self, step: Step, neurons: np.ndarray, sense: np.ndarray) -> None:
        self.step, self.neurons, self.sense = step, neurons, sense
        self.shape = step.shape(step.input)
        self.window = Window.of(step.layer, self.shape[1:-1])
        self.multiplier = step.layer.depth_multiplier
        self.groups, self.width = 1, self.shape[-1] * self.multiplier
        self.group = 0
        self.taps = math.prod(self.window.size)

    @cached_property
    def values(self) -> np.ndarray:
        """The layer's input, one row of channels per place, each as often as it is convolved."""
        rows = self.step.value(self.step.input).reshape(-1, self.shape[-1])
        return rows if self.multiplier == 1 else np.repeat(rows, self.multiplier, axis=1)

    @cached_property
    def depthwise(self) -> np.ndarray:
        """float32 ``[taps + 1, width]``; the last row is zero, for padding."""
        kernel = as_array(self.step.layer.depthwise_kernel).reshape(self.taps, self.width)
        return np.concatenate([kernel, np.zeros((1, self.width), np.float32)])

    @cached_property
    def pointwise(self) -> np.ndarray:
        """float32 ``[filters, width]``."""

        def transposed(kernel: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(kernel.reshape(kernel.shape[-2:]).T)

        return derived(self.step.layer, self.step.layer.pointwise_kernel, transposed)

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """int ``[n, taps]`` twice: the rows of ``values`` and of ``depthwise``."""
        place, inside = self.window.elements(self.neurons[:, 1:-1])
        values = self.neurons[:, :1] * math.prod(self.window.map_size) + place
        return values, np.where(inside, np.arange(self.taps), self.taps)

    def products(self, part: slice) -> np.ndarray:
        """``a * w`` of the depthwise part times the pointwise weight, float32 ``[m, taps, width]``."""
        values, weights = self.rows
        found = self.values.take(values[part], axis=0)
        found *= self.depthwise.take(weights[part], axis=0)
        found *= self.pointwise.take(self.neurons[part, -1], axis=0)[:, None]
        return found

    def elements(self, part: slice) -> np.ndarray:
        """The input elements that the products are made of, int ``[m, taps, width]``."""
        return self._of_input(super().elements(part))

    def sums(self, part: slice) -> np.ndarray:
        """The products of the 1x1 part, times the sense: float32 ``[m, width]``."""
        values, weights = self.rows
        a, w = self.values.take(values[part], axis=0), self.depthwise.take(weights[part], axis=0)
        found = np.einsum("mtc,mtc->mc", a, w)
        found *= self.pointwise.take(self.neurons[part, -1], axis=0)
        found *= self.sense[part, None]
        return found

    def input_channel(self, channel: np.ndarray) -> np.ndarray:
        """The channel of the layer's input that a depthwise output is made from."""
        return channel // self.multiplier

    def strongest_place(self, channel: np.ndarray) -> np.ndarray:
        """The element with the largest ``a * w`` of the depthwise part, int ``[n]``.

        The sense ended at the 1x1 part, as below any convolution.
        """
        values, weights = self.rows
        products = self.values[values, channel[:, None]] * self.depthwise[weights, channel[:, None]]
        products[weights == self.taps] = -np.inf
        best = values[np.arange(len(self)), products.argmax(axis=1)]
        return self._of_input(best * self.width + channel)

    def support(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """As for any convolution, with the depthwise outputs as the channels (see ``strongest_place``)."""
        values, weights = self.rows
        products = self.values.take(values[part], axis=0)
        products *= self.depthwise.take(weights[part], axis=0)
        products[weights[part] == self.taps] = -np.inf
        elements = rows_of_largest(products, values[part]) * self.width + np.arange(self.width)
        return self.sums(part) > 0, self._of_input(elements)

    def _of_input(self, element: np.ndarray) -> np.ndarray:
        return element // self.multiplier


def feeding(step: Step, evidence: Evidence) -> np.ndarray:
    """The largest single product that feeds each neuron, float32 ``[n]``."""
    return SeparableFan(step, evidence.coordinates, evidence.sense).largest()


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """The 1x1 part chooses the depthwise output with the largest ``a * w``; it has one input channel."""
    fan = SeparableFan(step, evidence.coordinates, evidence.sense)
    return [(step.input, selection.window(fan, evidence))]


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """The transposed 1x1 convolution, then the transposed depthwise one."""
    depthwise, pointwise = as_array(step.layer.depthwise_kernel), as_array(step.layer.pointwise_kernel)
    middle = coefficients @ pointwise.reshape(pointwise.shape[-2:]).T
    split = middle.reshape(*middle.shape[:-1], *depthwise.shape[-2:])
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    window = Window.of(step.layer, below.shape[1:-1])
    scatter(below, window, lambda tap: (split * depthwise[tap]).sum(axis=-1))
    return [(step.input, below)], bias_part(step, coefficients)
