"""Convolutions: Algorithm 2 of *CNN Fixations* (IEEE TIP 2018), and the exact adjoint."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.kernels import as_array, gathering_layout
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

# Neurons are handled in chunks whose products stay in the processor's cache.
_CHUNK_VALUES = 1 << 16


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Algorithm 2: each neuron goes on to the channel with the largest sum of ``a * w`` over its window.

    Inside the channel the place is the centre of the window, or that of the largest product.
    """
    maps = step.value(step.input)
    window = Window.of(step.layer, maps.shape[1:3])
    kernel = gathering_layout(step.layer, step.layer.kernel)
    channel = strongest_channel(maps, kernel, window, evidence, step.layer.groups)
    positions = evidence.coordinates[:, 1:3]
    if selection.location == "same":
        place = window.centre(positions)
    else:
        place = strongest_place(maps, kernel, window, evidence, channel)
    return [(step.input, evidence.at(_coordinates(evidence, place, channel), np.ones_like(evidence.sense)))]


def walk_depthwise(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """A depthwise neuron is fed by its own input channel alone; the place is chosen as in Algorithm 2."""
    window = Window.of(step.layer, step.shape(step.input)[1:3])
    channel = evidence.coordinates[:, 3] // step.layer.depth_multiplier
    if selection.location == "same":
        place = window.centre(evidence.coordinates[:, 1:3])
    else:
        # [kh, kw, in, multiplier] -> [kh, kw, in * multiplier, 1]: one input weight for each output channel.
        kernel = as_array(step.layer.kernel)
        kernel = kernel.reshape(*kernel.shape[:2], -1, 1)
        place = strongest_place(step.value(step.input), kernel, window, evidence, channel)
    return [(step.input, evidence.at(_coordinates(evidence, place, channel), np.ones_like(evidence.sense)))]


def strongest_channel(
    maps: np.ndarray, kernel: np.ndarray, window: Window, evidence: Evidence, groups: int = 1
) -> np.ndarray:
    """The input channel with the largest (for negative sense: smallest) sum of ``a * w`` over the window.

    Args:
        maps: ``[images, height, width, channels]``, the layer's input.
        kernel: ``[kh, kw, out, channels / groups]``.
        window: the layer's window on the maps.
        evidence: neurons ``[n, 4]`` of the layer's output.
        groups: of a grouped convolution; a neuron sees the group of its *output* channel.

    Returns:
        int64 ``[n]``.
    """
    n, per_group = len(evidence), kernel.shape[-1]
    rows = maps.reshape(-1, per_group)
    group = evidence.coordinates[:, 3] // (kernel.shape[2] // groups)
    channel = np.empty(n, np.int64)
    chunk = max(16, _CHUNK_VALUES // per_group)
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        sums = _channel_sums(rows, kernel, window, evidence.coordinates[part], group[part], groups)
        if (evidence.sense[part] < 0).any():
            sums *= evidence.sense[part, None]
        channel[part] = sums.argmax(axis=1)
    return channel + group * per_group


def _channel_sums(
    rows: np.ndarray,
    kernel: np.ndarray,
    window: Window,
    neurons: np.ndarray,
    group: np.ndarray,
    groups: int,
) -> np.ndarray:
    sums = np.zeros((len(neurons), rows.shape[1]), np.float32)
    image, out = neurons[:, 0], neurons[:, 3]
    height, width = window.map_size
    for i, j in window.taps:
        place, inside = window.place(neurons[:, 1:3], (i, j))
        index = ((image * height + place[:, 0]) * width + place[:, 1]) * groups + group
        products = rows.take(index, axis=0)
        products *= kernel[i, j].take(out, axis=0)
        if window.size == (1, 1):
            return products
        if not inside.all():
            products[~inside] = 0
        sums += products
    return sums


def strongest_place(
    maps: np.ndarray, kernel: np.ndarray, window: Window, evidence: Evidence, channel: np.ndarray
) -> np.ndarray:
    """The place of the largest (negative sense: smallest) product inside one channel, int ``[n, 2]``.

    Padding has no place on the map and is never chosen.
    """
    neurons, sense = evidence.coordinates, evidence.sense
    within = channel % kernel.shape[-1]
    best = np.full(len(neurons), -np.inf, np.float32)
    found = np.zeros((len(neurons), 2), np.int64)
    for i, j in window.taps:
        place, inside = window.place(neurons[:, 1:3], (i, j))
        values = maps[neurons[:, 0], place[:, 0], place[:, 1], channel]
        products = values * kernel[i, j][neurons[:, 3], within] * sense
        better = inside & (products > best)
        best[better], found[better] = products[better], place[better]
    return found


def _coordinates(evidence: Evidence, place: np.ndarray, channel: np.ndarray) -> np.ndarray:
    return np.column_stack([evidence.image, place, channel])


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """The transposed convolution ``sum over taps of W^T k``; the bias takes its own part."""
    kernel, groups = as_array(step.layer.kernel), step.layer.groups
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    window = Window.of(step.layer, below.shape[1:3])
    per_in, per_out = kernel.shape[2], kernel.shape[3] // groups
    for g in range(groups):
        out = coefficients[..., g * per_out : (g + 1) * per_out]
        weights = kernel[..., g * per_out : (g + 1) * per_out]
        scatter(below[..., g * per_in : (g + 1) * per_in], window, lambda t: out @ weights[t].T)  # noqa: B023
    bias = coefficients.sum(axis=(1, 2)) @ as_array(step.layer.bias) if step.layer.use_bias else 0.0
    return [(step.input, below)], np.broadcast_to(bias, len(coefficients))


def adjoint_depthwise(
    step: Step, coefficients: np.ndarray
) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """The transposed depthwise convolution."""
    kernel = as_array(step.layer.kernel)
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    window = Window.of(step.layer, below.shape[1:3])
    split = coefficients.reshape(*coefficients.shape[:3], *kernel.shape[2:])
    scatter(below, window, lambda t: (split * kernel[t]).sum(axis=-1))
    bias = coefficients.sum(axis=(1, 2)) @ as_array(step.layer.bias) if step.layer.use_bias else 0.0
    return [(step.input, below)], np.broadcast_to(bias, len(coefficients))


def scatter(below: np.ndarray, window: Window, of_tap: Callable[[tuple[int, int]], np.ndarray]) -> None:
    """Add to ``below [questions, height, width, channels]`` what each tap of the windows sends there.

    ``of_tap((i, j))`` gives ``[questions, out height, out width, channels]``; what falls on padding is
    dropped.
    """
    for tap in window.taps:
        values = of_tap(tap)
        (out_y, in_y), (out_x, in_x) = (
            _overlap(window, axis, tap, values.shape[1 + axis]) for axis in (0, 1)
        )
        below[:, in_y, in_x] += values[:, out_y, out_x]


def _overlap(window: Window, axis: int, tap: tuple[int, int], length: int) -> tuple[slice, slice]:
    """Output positions whose tap lies on the map, and where: slices of the output and of the input."""
    stride = window.stride[axis]
    offset = tap[axis] * window.dilation[axis] - window.pad_before[axis]
    first = max(0, (stride - 1 - offset) // stride)
    last = min(length - 1, (window.map_size[axis] - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)
