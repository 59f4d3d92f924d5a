"""Operators that do what a layer does, with weights as arguments; the layer's rule is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.step import Step


class LayerOf:
    """A stand-in for a layer, made from an operator and its arguments, for the layer's rule."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.name, self.use_bias, self.groups = name, False, 1
        vars(self).update(settings)


def as_layer(step: Step, layer: LayerOf) -> Step:
    """The same step with the operator replaced by this layer."""
    operation: Any = layer
    return replace(step, call=replace(step.call, operation=operation))


def convolution(step: Step) -> LayerOf:
    """``keras.ops.conv(x, kernel)``."""
    kernel = _kernel(step)
    settings = {"kernel_size": tuple(kernel.shape)[:-2], **_sliding(step)}
    groups = step.shape(step.input)[-1] // kernel.shape[-2]
    return LayerOf(step.call.name, kernel=kernel, groups=groups, **settings)


def depthwise(step: Step) -> LayerOf:
    """``keras.ops.depthwise_conv(x, kernel)``."""
    kernel = _kernel(step)
    multiplier = kernel.shape[-1]
    settings = {"kernel_size": tuple(kernel.shape)[:-2], "depth_multiplier": multiplier, **_sliding(step)}
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
