"""Operators that do what a layer does, their weights as arguments: handed to that layer's own rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.rule import Geometry
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


class LayerOf:
    """What the rule of a layer reads of it, taken from an operator and its arguments."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.name, self.use_bias, self.groups = name, False, 1
        vars(self).update(settings)


def walk_as(
    layer_of: Callable[[Step], LayerOf], walk: Callable[..., Any]
) -> Callable[[Step, Evidence, CNNFixations], list[tuple[Tensor, Evidence]]]:
    """A layer's walk for an operator."""

    @wraps(walk)
    def of_operator(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
        found: list[tuple[Tensor, Evidence]] = walk(as_layer(step, layer_of(step)), evidence, selection)
        return found

    return of_operator


def adjoint_as(
    layer_of: Callable[[Step], LayerOf], adjoint: Callable[..., Any]
) -> Callable[[Step, np.ndarray], tuple[list[tuple[Tensor, np.ndarray]], Any]]:
    """A layer's adjoint for an operator."""

    @wraps(adjoint)
    def of_operator(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
        below, bias = adjoint(as_layer(step, layer_of(step)), coefficients)
        return below, bias

    return of_operator


def feeding_as(
    layer_of: Callable[[Step], LayerOf], feeding: Callable[..., np.ndarray]
) -> Callable[[Step, Evidence], np.ndarray]:
    """What feeds the neurons of a layer, for an operator."""
    return lambda step, evidence: feeding(as_layer(step, layer_of(step)), evidence)


def geometry_as(layer_of: Callable[[Step], LayerOf], geometry: Geometry) -> Geometry:
    """A layer's geometry for an operator."""
    return lambda step, tensor, field: geometry(as_layer(step, layer_of(step)), tensor, field)


def as_layer(step: Step, layer: LayerOf) -> Step:
    """The same step, as if the operator were this layer."""
    operation: Any = layer
    return replace(step, call=replace(step.call, operation=operation))


def convolution(step: Step) -> LayerOf:
    """``keras.ops.conv(x, kernel)``."""
    kernel = _kernel(step)
    return LayerOf(step.call.name, kernel=kernel, kernel_size=kernel.shape[:-2], **_sliding(step))


def depthwise(step: Step) -> LayerOf:
    """``keras.ops.depthwise_conv(x, kernel)``."""
    kernel = _kernel(step)
    multiplier = kernel.shape[-1]
    settings = {"kernel_size": kernel.shape[:-2], "depth_multiplier": multiplier, **_sliding(step)}
    return LayerOf(step.call.name, kernel=kernel, **settings)


def pool(step: Step) -> LayerOf:
    """``keras.ops.max_pool`` and ``average_pool``."""
    size = _per_axis(step, step.layer.pool_size)
    return LayerOf(step.call.name, pool_size=size, **_sliding(step) | {"dilation_rate": (1,) * len(size)})


def batch_normalization(step: Step) -> LayerOf:
    """``keras.ops.batch_normalization(x, mean, variance, axis, offset, scale)``."""
    mean, variance = _argument(step, 1, "mean"), _argument(step, 2, "variance")
    beta, gamma = _argument(step, 3, "offset"), _argument(step, 4, "scale")
    if any(isinstance(x, Tensor) for x in (mean, variance, beta, gamma)):
        raise TraceError(f"{step.call.name!r} normalises with statistics that are no constants")
    return LayerOf(
        step.call.name,
        moving_mean=mean,
        moving_variance=variance,
        center=beta is not None,
        beta=beta,
        scale=gamma is not None,
        gamma=gamma,
        axis=step.layer.axis,
        epsilon=step.layer.epsilon,
    )


def _argument(step: Step, place: int, name: str) -> Any:
    arguments = step.call.arguments
    return arguments[place] if place < len(arguments) else step.call.keywords.get(name)


def _kernel(step: Step) -> Any:
    kernel = _argument(step, 1, "kernel")
    if isinstance(kernel, Tensor):
        raise TraceError(f"{step.call.name!r} has a kernel that is no constant, for which there is no rule")
    return kernel


def _sliding(step: Step) -> dict[str, Any]:
    layer = step.layer
    strides = layer.strides if layer.strides is not None else layer.pool_size
    return {
        "strides": _per_axis(step, strides),
        "dilation_rate": _per_axis(step, getattr(layer, "dilation_rate", 1)),
        "padding": layer.padding,
        "data_format": layer.data_format,
    }


def _per_axis(step: Step, setting: Any) -> tuple[int, ...]:
    axes = len(step.input.shape) - 2
    return (setting,) * axes if isinstance(setting, int) else tuple(setting)
