"""Separable convolutions: a depthwise convolution and a 1x1 convolution on it, in one layer."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.convolution import strongest_place
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

_CHUNK_VALUES = 1 << 16


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """The 1x1 part chooses the depthwise output with the largest ``a * w``; it has one input channel."""
    maps = step.value(step.input)
    window = Window.of(step.layer, maps.shape[1:3])
    depthwise = as_array(step.layer.depthwise_kernel)
    multiplier = depthwise.shape[3]
    depthwise = depthwise.reshape(*depthwise.shape[:2], -1)
    middle = _strongest_middle(step, maps, depthwise, window, evidence)
    if selection.location == "same":
        place = window.centre(evidence.coordinates[:, 1:3])
    else:
        # As below any convolution, the sense is positive again.
        inner = Evidence.of(np.column_stack([evidence.coordinates[:, :3], middle]), evidence.weights)
        place = strongest_place(maps, depthwise[..., None], window, inner, middle // multiplier)
    coordinates = np.column_stack([evidence.image, place, middle // multiplier])
    return [(step.input, evidence.at(coordinates, np.ones_like(evidence.sense)))]


def _strongest_middle(
    step: Step, maps: np.ndarray, depthwise: np.ndarray, window: Window, evidence: Evidence
) -> np.ndarray:
    """The depthwise output channel with the largest (negative sense: smallest) product, int64 ``[n]``."""
    pointwise = np.ascontiguousarray(as_array(step.layer.pointwise_kernel)[0, 0].T)
    multiplier = depthwise.shape[2] // maps.shape[3]
    middle = np.empty(len(evidence), np.int64)
    chunk = max(16, _CHUNK_VALUES // depthwise.shape[2])
    for start in range(0, len(evidence), chunk):
        part = slice(start, start + chunk)
        neurons = evidence.coordinates[part]
        sums = np.zeros((len(neurons), depthwise.shape[2]), np.float32)
        for i, j in window.taps:
            place, inside = window.place(neurons[:, 1:3], (i, j))
            values = maps[neurons[:, 0], place[:, 0], place[:, 1]] * inside[:, None]
            sums += np.repeat(values, multiplier, axis=1) * depthwise[i, j]
        middle[part] = (sums * pointwise[neurons[:, 3]] * evidence.sense[part, None]).argmax(axis=1)
    return middle
