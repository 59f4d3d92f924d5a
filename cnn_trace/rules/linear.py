"""Linear layers, described once: which inputs each neuron weighs, and with what weights.

The walk, the exact adjoint (the head), the products that walks choose from
(:mod:`gazeback.cnn_trace.rules.fan`), the receptive field and the proportional spread are derived from the
description.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.broadcasting import inner, sum_back
from gazeback.cnn_trace.rules.kernels import as_array, derived
from gazeback.cnn_trace.rules.window import TransposedWindow, Window
from gazeback.cnn_trace.step import Step

# Coefficients of so many neurons are those of a map, where hardly any is zero.
_FEW_ROWS = 512


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer with ``y_j = sum over i of a_i w_ij + b_j``.

    A neuron has one input location for each tap of its window, and ``width`` channels at each location: those
    of its group. A dense layer has a window of one location; a depthwise convolution has groups of one
    channel.

    Attributes:
        layer: the layer that has the weights.
        kernel: the weights as Keras stores them: ``[*window, width, filters]``; for a depthwise convolution
            ``[*window, groups, filters / groups]``; for a transposed one ``[*window, filters, width]``.
        window: the input locations that feed an output location.
        places: the size of the output: ``(height, width)`` for a map, ``()`` for vectors.
        width: the number of channels in a group.
        filters: the number of channels of the output.
        groups: the number of groups.
        bias: ``[filters]`` or None.
    """

    layer: Any
    kernel: Any
    window: Window
    places: tuple[int, ...]
    width: int
    filters: int
    groups: int = 1
    bias: Any = None

    @property
    def taps(self) -> int:
        """The number of locations in a window."""
        return self.window.taps

    @property
    def weights(self) -> np.ndarray:
        """float32 ``[taps, groups, width, filters / groups]``."""
        return self._arranged(as_array(self.kernel))

    def _arranged(self, kernel: np.ndarray) -> np.ndarray:
        if isinstance(self.window, TransposedWindow):
            return kernel.reshape(self.taps, 1, self.filters, self.width).swapaxes(2, 3)
        return kernel.reshape(self.taps, self.width, self.groups, -1).swapaxes(1, 2)

    @property
    def rows(self) -> np.ndarray:
        """The weights, float32 ``[taps * filters + 1, width]``: a row for each tap and filter, and one
        of zeros for padding."""
        return derived(self.layer, self.kernel, self._in_rows)

    def _in_rows(self, kernel: np.ndarray) -> np.ndarray:
        rows = np.zeros((self.taps * self.filters + 1, self.width), np.float32)
        by_tap = rows[:-1].reshape(self.taps, self.groups, -1, self.width)
        by_tap[:] = self._arranged(kernel).swapaxes(2, 3)
        return rows

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``y_j = sum over i of a_i w_ij``.

        Args:
            inputs: float32 ``[n, *input places, channels]``.
            weights: of the shape of :attr:`weights`.

        Returns:
            float32 ``[n, *places, filters]``, without the bias.
        """
        found = np.zeros((len(inputs), *self.places, self.filters), np.float32)
        for (output, seen), tap in zip(self.window.connections(self.places), weights, strict=True):
            found[output] += _mixed(inputs[seen], tap)
        return found

    def adjoint(self, arriving: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``x_i = sum over j of w_ij r_j``, float32 ``[n, *input places, channels]``.

        Args:
            arriving: float32 ``[n, *places, filters]``.
            weights: of the shape of :attr:`weights`.
        """
        if self.window.is_point:
            return _mixed(arriving, weights[0].swapaxes(1, 2))
        if self._is_depthwise:
            return self._adjoint_depthwise(arriving, weights)
        below = np.zeros((len(arriving), *self.window.map_size, self.groups * self.width), np.float32)
        for (output, seen), tap in zip(self.window.connections(self.places), weights, strict=True):
            below[seen] += _mixed(arriving[output], tap.swapaxes(1, 2))
        return below

    @property
    def _is_depthwise(self) -> bool:
        """Whether each output channel sees one input channel of its own, in steps or at distances."""
        own = self.width == 1 and self.filters == self.groups and isinstance(self.window, Window)
        return own and all(1 in each for each in zip(self.window.stride, self.window.dilation, strict=True))

    def _adjoint_depthwise(self, arriving: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """:meth:`adjoint`, for each phase of the stride at once: its inputs see every so many taps."""
        window = self.window
        kernel = weights.reshape(*window.size, self.filters)
        below = np.zeros((len(arriving), *window.map_size, self.filters), np.result_type(arriving, weights))
        axes = tuple(range(1, arriving.ndim - 1))
        for phase in np.ndindex(*window.stride):
            first = np.mod(np.subtract(phase, window.pad_before), window.stride)
            inputs = below[:, *map(slice, first, window.map_size, window.stride)]
            taps = kernel[*map(slice, phase, window.size, window.stride)]
            if not taps.size or not inputs.size:
                continue
            reach = np.multiply(np.subtract(taps.shape[:-1], 1), window.dilation)
            nearest = (first + window.pad_before - phase) // window.stride
            near = _cut(arriving, nearest - reach, nearest + inputs.shape[1:-1])
            seen = sliding_window_view(near, reach + 1, axes)
            apart: tuple[Any, ...] = (..., *(slice(None, None, step) for step in window.dilation))
            spatial, tap = "xyz"[: len(axes)], "ijk"[: len(axes)]
            flipped = np.flip(taps, tuple(range(len(axes))))
            np.einsum(f"n{spatial}c{tap},{tap}c->n{spatial}c", seen[apart], flipped, out=inputs)
        return below

    def bias_part(self, coefficients: np.ndarray) -> np.ndarray:
        """The contribution of the bias, float ``[n]``, for coefficients ``[n, *places, filters]``."""
        if self.bias is None:
            return np.zeros(len(coefficients))
        per_channel = coefficients.reshape(len(coefficients), -1, self.filters).sum(axis=1)
        contribution: np.ndarray = per_channel @ as_array(self.bias)
        return contribution


# Applied in this order: a separable convolution has two stages, other layers have one.
Stages = tuple[Linear, ...]


def adjoint(
    describe: Callable[[Step], Stages], step: Step, coefficients: np.ndarray
) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """``x_i = sum over j of w_ij k_j``, the weights transposed; the part of the bias is a bias term."""
    stages, below = describe(step), coefficients
    for stage in reversed(stages):
        below = stage.adjoint(below, stage.weights)
    return [(step.input, below)], stages[-1].bias_part(coefficients)


def _mixed(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiply channels ``[..., groups * width]`` by the weights ``[groups, width, each]`` of their group."""
    groups, width, each = weights.shape
    rows = values.reshape(-1, groups, width)
    if groups == 1:
        mixed = _product(rows[:, 0], weights[0])
    elif width == 1:
        mixed = rows * weights[:, 0]
    elif each == 1:
        mixed = (rows * weights[:, :, 0]).sum(axis=-1)
    else:
        mixed = (rows.swapaxes(0, 1) @ weights).swapaxes(0, 1)
    return mixed.reshape(*values.shape[:-1], groups * each)


def _cut(values: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The places from start to end of a map ``[n, ..., channels]``, with zeros beyond its edges."""
    size = values.shape[1:-1]
    cut = np.zeros((len(values), *(end - start), values.shape[-1]), values.dtype)
    low, high = np.maximum(start, 0), np.minimum(end, size)
    if (low < high).all():
        inside = tuple(map(slice, low, high))
        place = tuple(map(slice, low - start, high - start))
        cut[:, *place] = values[:, *inside]
    return cut


def _product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Compute ``rows @ matrix``, faster for rows with one nonzero entry: a question starts at one neuron."""
    if len(rows) > _FEW_ROWS:
        return rows @ matrix
    entries = np.count_nonzero(rows, axis=1)
    if entries.min(initial=2) > 1:
        return rows @ matrix
    found = np.zeros((len(rows), matrix.shape[1]), np.float32)
    single, several = entries == 1, entries > 1
    entry = np.abs(rows[single]).argmax(axis=1)
    found[single] = matrix[entry] * rows[single, entry, None]
    found[several] = rows[several] @ matrix
    return found


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A layer with ``y_i = w_i a_i + b_i``: a normalisation, or a constant factor.

    Attributes:
        sign: an array with the signs of ``w``; its magnitudes do not matter.
        terms: ``terms()`` -> ``(w, b)``, for the adjoint. Statistics of the input count as constants.

    All arrays broadcast to the output, batch axis included.
    """

    sign: np.ndarray
    terms: Callable[[], tuple[Any, Any]]


def adjoint_elementwise(
    describe: Callable[[Step], Elementwise], step: Step, coefficients: np.ndarray
) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """``x_i = w_i k_i``; the part of the shift is a bias term. Statistics of the input count as constants."""
    factor, shift = describe(step).terms()
    return [(step.input, sum_back(step, coefficients * factor, step.input))], inner(coefficients, shift)
