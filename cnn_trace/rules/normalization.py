"""Rules of normalisations and rescalings, which are affine in each channel."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.geometry import ActsAlike, Field
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Below = tuple[list[tuple[Tensor, np.ndarray]], Any]


def walk_batch(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place; a negative gamma flips the sign: a high output means a low input."""
    layer = step.layer
    if not layer.scale:
        return [(step.input, evidence)]
    gamma = as_array(layer.gamma)[evidence.coordinates[:, _axis(step)]]
    return [(step.input, evidence.turned(gamma))]


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


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """In place; statistics over locations also see the whole map."""
    axis = getattr(step.layer, "axis", -1)
    rank = len(tensor.shape)
    axes = [a % rank for a in (axis if isinstance(axis, list | tuple) else [axis])]
    if axes != [1 if tensor.channels_first else rank - 1]:
        raise ActsAlike(field)
    return field


def geometry_group(step: Step, tensor: Tensor, field: Field) -> Field:
    """In place; the statistics also see the whole map."""
    raise ActsAlike(field)


def _axis(step: Step) -> int:
    axis = step.layer.axis
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    return axis % len(step.output.shape)


def walk_layer(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place (layer normalisation with frozen statistics); a negative gamma flips the
    sign."""
    if not step.layer.scale:
        return [(step.input, evidence)]
    sign = np.where(as_array(step.layer.gamma) < 0, -1, 1)
    sign = np.broadcast_to(_along(step, sign), (1, *step.shape(step.output)[1:]))
    return [(step.input, evidence.turned(sign[(0, *evidence.coordinates[:, 1:].T)]))]


def adjoint_layer(step: Step, coefficients: np.ndarray) -> Below:
    """``y = (x - mean) / deviation * gamma + beta``; mean and deviation of the input are constants."""
    layer, x = step.layer, step.value(step.input)
    axes = _axes(step)
    mean = x.mean(axis=axes, keepdims=True)
    scale = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + layer.epsilon)
    if layer.scale:
        scale = scale * _along(step, as_array(layer.gamma))
    shift = -mean * scale
    if layer.center:
        shift = shift + _along(step, as_array(layer.beta))
    return [(step.input, coefficients * scale)], (coefficients * shift).reshape(len(x), -1).sum(axis=1)


def _axes(step: Step) -> tuple[int, ...]:
    axis = step.layer.axis
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return tuple(sorted(a % len(step.input.shape) for a in axes))


def _along(step: Step, weights: np.ndarray) -> np.ndarray:
    """Reshape the weights of the normalised axes so that they multiply a tensor."""
    shape = [1] * len(step.input.shape)
    for axis, size in zip(_axes(step), weights.shape, strict=True):
        shape[axis] = size
    return weights.reshape(shape)


def walk_group(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place (group normalisation with frozen statistics); a negative gamma flips the
    sign."""
    if not step.layer.scale:
        return [(step.input, evidence)]
    channel = evidence.coordinates[:, _axis(step)]
    return [(step.input, evidence.turned(np.where(as_array(step.layer.gamma) < 0, -1, 1)[channel]))]


def adjoint_group(step: Step, coefficients: np.ndarray) -> Below:
    """As layer normalisation, over all locations and the channels of a group."""
    layer, axis = step.layer, _axis(step)
    x = np.moveaxis(step.value(step.input), axis, -1)
    groups = layer.groups if layer.groups != -1 else x.shape[-1]
    grouped = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean = grouped.mean(axis=(1, 3))
    scale = 1 / np.sqrt(grouped.var(axis=(1, 3)) + layer.epsilon)
    mean, scale = (np.repeat(v, x.shape[-1] // groups, axis=1) for v in (mean, scale))  # [n, channels]
    if layer.scale:
        scale = scale * as_array(layer.gamma)
    shift = -mean * scale
    if layer.center:
        shift = shift + as_array(layer.beta)
    per_channel = np.moveaxis(coefficients, axis, -1).reshape(len(x), -1, x.shape[-1]).sum(axis=1)
    shape = [len(x), *[1] * (x.ndim - 1)]
    shape[axis] = -1
    return [(step.input, coefficients * scale.reshape(shape))], (per_channel * shift).sum(axis=1)


def walk_root_mean_square(
    step: Step, evidence: Evidence, selection: CNNFixations
) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place (RMS normalisation with frozen statistics); a negative scale flips the sign."""
    sign = np.where(as_array(step.layer.scale) < 0, -1, 1)
    sign = np.broadcast_to(_along(step, sign), (1, *step.shape(step.output)[1:]))
    return [(step.input, evidence.turned(sign[(0, *evidence.coordinates[:, 1:].T)]))]


def walk_rescaling(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence stays in place; a negative scale flips the sign."""
    scale, _ = _affine(step)
    sign = np.broadcast_to(np.where(scale < 0, -1, 1), (1, *step.shape(step.output)[1:]))
    return [(step.input, evidence.turned(sign[(0, *evidence.coordinates[:, 1:].T)]))]


def adjoint_rescaling(step: Step, coefficients: np.ndarray) -> Below:
    """``y = x * scale + offset`` with constants that broadcast to the tensor."""
    scale, offset = _affine(step)
    shift = (coefficients * offset).reshape(len(coefficients), -1).sum(axis=1)
    return [(step.input, coefficients * scale)], shift


def _affine(step: Step) -> tuple[np.ndarray, np.ndarray]:
    layer = step.layer
    if type(layer).__name__ == "Rescaling":
        return np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    mean = as_array(layer.mean)
    deviation = np.maximum(np.sqrt(as_array(layer.variance)), keras.config.epsilon())
    return (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
