"""Normalisations and rescalings: a factor and a shift for each element, statistics of the input frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.geometry import ActsAlike, Field
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.linear import Elementwise
from gazeback.cnn_trace.step import Step

Statistics = Callable[[Step], tuple[Any, Any]]


def batch(step: Step) -> Elementwise:
    """``y = (x - moving mean) / deviation * gamma + beta``."""
    return _normalised(step, _moving)


def layer(step: Step) -> Elementwise:
    """The same with the mean and the deviation over some axes of the input."""
    return _normalised(step, _over_axes)


def group(step: Step) -> Elementwise:
    """The same with the mean and the deviation over all locations and the channels of a group."""
    return _normalised(step, _over_groups)


def root_mean_square(step: Step) -> Elementwise:
    """``y = x / root mean square * scale``."""
    scale = _along(step, as_array(step.layer.scale))

    def terms() -> tuple[Any, Any]:
        square = (step.value(step.input) ** 2).mean(axis=_axes(step), keepdims=True)
        return scale / np.sqrt(square + step.layer.epsilon), 0.0

    return Elementwise(scale, terms)


def rescaling(step: Step) -> Elementwise:
    """``y = x * scale + offset`` with constants."""
    scale, offset = _constants(step.layer)
    return Elementwise(scale, lambda: (scale, offset))


def _constants(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    if type(layer).__name__ == "Rescaling":
        return np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    mean = as_array(layer.mean)
    deviation = np.maximum(np.sqrt(as_array(layer.variance)), keras.config.epsilon())
    return (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)


def _normalised(step: Step, statistics: Statistics) -> Elementwise:
    """A layer that subtracts a mean, divides by a deviation > 0, and may have a gamma and a beta."""
    layer = step.layer
    gamma = _along(step, as_array(layer.gamma)) if layer.scale else np.ones(1, np.float32)

    def terms() -> tuple[Any, Any]:
        mean, deviation = statistics(step)
        factor = gamma / deviation
        beta = _along(step, as_array(layer.beta)) if layer.center else 0.0
        return factor, beta - mean * factor

    return Elementwise(gamma, terms)


def _moving(step: Step) -> tuple[Any, Any]:
    layer = step.layer
    mean, variance = (_along(step, as_array(x)) for x in (layer.moving_mean, layer.moving_variance))
    return mean, np.sqrt(variance + layer.epsilon)


def _over_axes(step: Step) -> tuple[Any, Any]:
    x, axes = step.value(step.input), _axes(step)
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return mean, np.sqrt(variance + step.layer.epsilon)


def _over_groups(step: Step) -> tuple[Any, Any]:
    (axis,) = _axes(step)
    x = np.moveaxis(step.value(step.input), axis, -1)
    channels = x.shape[-1]
    groups = step.layer.groups if step.layer.groups != -1 else channels
    grouped = x.reshape(len(x), -1, groups, channels // groups)
    shape = [len(x), *[1] * (x.ndim - 1)]
    shape[axis] = channels
    each = grouped.mean(axis=(1, 3)), np.sqrt(grouped.var(axis=(1, 3)) + step.layer.epsilon)
    mean, deviation = (np.repeat(one, channels // groups, axis=1).reshape(shape) for one in each)
    return mean, deviation


def _axes(step: Step) -> tuple[int, ...]:
    axis, rank = step.layer.axis, len(step.input.shape)
    return (axis % rank,) if isinstance(axis, int) else tuple(sorted(a % rank for a in axis))


def _along(step: Step, weights: np.ndarray) -> np.ndarray:
    """Reshape the weights of the normalised axes so that they multiply a tensor."""
    shape = [1] * len(step.input.shape)
    for axis, size in zip(_axes(step), weights.shape, strict=True):
        shape[axis] = size
    return weights.reshape(shape)


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
