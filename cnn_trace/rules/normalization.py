"""Batch normalisation and fixed scalings: affine, channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Below = tuple[list[tuple[Tensor, np.ndarray]], Any]


def walk_batch(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place; where gamma is negative, a high output means a low input: the sense turns."""
    layer = step.layer
    if not layer.scale:
        return [(step.input, evidence)]
    channel = evidence.coordinates[:, _axis(step)]
    sign = np.where(as_array(layer.gamma) < 0, -1, 1)[channel]
    return [(step.input, evidence.turned(sign))]


def adjoint_batch(step: Step, coefficients: np.ndarray) -> Below:
    """``y = x * gamma / sqrt(variance + epsilon) + (beta - mean * scale)``."""
    layer = step.layer
    scale = 1 / np.sqrt(as_array(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * as_array(layer.gamma)
    shift = -as_array(layer.moving_mean) * scale
    if layer.center:
        shift = shift + as_array(layer.beta)
    others = tuple(a for a in range(1, coefficients.ndim) if a != _axis(step))
    per_channel = coefficients.sum(axis=others) if others else coefficients
    shape = [1] * coefficients.ndim
    shape[_axis(step)] = -1
    return [(step.input, coefficients * scale.reshape(shape))], per_channel @ shift


def _axis(step: Step) -> int:
    axis = step.layer.axis
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    return axis % len(step.output.shape)


def walk_rescaling(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Rescaling and Normalization: in place; a negative scale turns the sense."""
    scale, _ = _affine(step)
    channel = evidence.coordinates[:, -1] if scale.ndim else 0
    sign = np.where(scale < 0, -1, 1)[channel] if scale.ndim else np.where(scale < 0, -1, 1)
    return [(step.input, evidence.turned(sign))]


def adjoint_rescaling(step: Step, coefficients: np.ndarray) -> Below:
    """``y = x * scale + offset`` with constants, per channel or for all."""
    scale, offset = _affine(step)
    shift = (coefficients * offset).reshape(len(coefficients), -1).sum(axis=1)
    return [(step.input, coefficients * scale)], shift


def _affine(step: Step) -> tuple[np.ndarray, np.ndarray]:
    layer = step.layer
    if type(layer).__name__ == "Rescaling":
        return _last_axis(layer.scale), _last_axis(layer.offset)
    deviation = np.sqrt(as_array(layer.variance))
    mean = as_array(layer.mean)
    if layer.invert:
        return _last_axis(deviation), _last_axis(mean)
    return _last_axis(1 / np.maximum(deviation, 1e-7)), _last_axis(-mean / np.maximum(deviation, 1e-7))


def _last_axis(constant: Any) -> np.ndarray:
    array = np.asarray(constant, np.float32)
    return array.reshape(-1) if array.size > 1 else array.reshape(())
