"""Deconvnet and guided backpropagation: signals that pass back to the pixels through changed rectifiers.

Both start at one neuron of the output or of any layer (``layer=``, and a channel as the target: its strongest
location). They replace every ReLU and ReLU6 of the flat graph: layers, fused activations and operators, in
nested and subclassed models too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.rules.activation import kind as activation_kind
from gazeback.eval.baselines.autodiff import Watch, carried, signals
from gazeback.eval.baselines.backward import Kind, Rule, applied, ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.models.errors import UserError


@compared
def deconvnet(query: Query, resample: bool = False, raw: bool = False) -> np.ndarray:
    """Deconvnet: Zeiler, Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014, section
    2.1.

    The positive part of the signal passes back through a rectifier, whether the rectifier was open or not.
    Pools pass the signal to their maxima (the switches), convolutions through the transposed filters.

    Args:
        model, images, target, layer, output: as for :func:`gazeback.cnn_trace.trace`.
        resample: resample the signal at strided layers, which avoids a grid (see :func:`resampled_strides`).
        raw: return the signal itself, float32 ``[n, H, W, C]``, with its sign.

    Returns:
        float32 ``[n, H, W]``: the largest magnitude among the channels.

    Raises:
        UserError, TraceError: a target or an input that does not fit, or a model without rectifiers.
    """
    return _projected(query, _deconvnet_resampled if resample else _deconvnet, raw)


@compared
def guided_backprop(query: Query, resample: bool = False, raw: bool = False) -> np.ndarray:
    """Guided backpropagation: Springenberg, Dosovitskiy, Brox, Riedmiller, *Striving for Simplicity*, ICLR
    workshop 2015, section 4.

    The positive part of the signal passes back through a rectifier, and only if the rectifier was open (for
    ReLU6: open and not saturated). Arguments, result and errors as for :func:`deconvnet`.
    """
    return _projected(query, _guided_resampled if resample else guided, raw)


@compared
def deconvnet_resampled(query: Query, raw: bool = False) -> np.ndarray:
    """Deconvnet with resampled strides, which avoids a grid (see :func:`resampled_strides`)."""
    return _projected(query, _deconvnet_resampled, raw)


@compared
def guided_backprop_resampled(query: Query, raw: bool = False) -> np.ndarray:
    """Guided backpropagation with resampled strides, which avoids a grid (see :func:`resampled_strides`)."""
    return _projected(query, _guided_resampled, raw)


def grid_artefacts(maps: np.ndarray, stride: int) -> np.ndarray:
    """Measure the grid that a stride leaves in maps: the energy at the stride's frequencies, 0 (none) to 1.

    Let F be the Fourier transform of ``|map|``. The result is the energy of F at the multiples of 1 / stride
    in rows and columns without the mean, divided by the same with the mean. A flat map has 0, a comb with one
    pixel in each ``stride x stride`` block ``1 - 1 / stride**2``.

    Args:
        maps: float ``[n, H, W]``; rows and columns beyond a multiple of the stride are left out.
        stride: of the grid, in pixels.

    Returns:
        float64 ``[n]``.

    Raises:
        UserError: the maps are smaller than the stride, or it is below 2.
    """
    maps = np.abs(np.asarray(maps, np.float64))
    if maps.ndim != 3 or stride < 2 or min(maps.shape[1:]) < stride:
        raise UserError(
            f"expected maps [n, H, W] and a stride from 2 to their sides, got {list(maps.shape)} and {stride}"
        )
    n, height, width = maps.shape
    rows, columns = height // stride, width // stride
    blocks = maps[:, : rows * stride, : columns * stride].reshape(n, rows, stride, columns, stride)
    # The mean over all blocks has exactly these frequencies; their energy follows by Parseval's theorem.
    block = blocks.mean(axis=(1, 3)).reshape(n, -1)
    energy = (block**2).mean(axis=1)
    return np.divide(energy - block.mean(axis=1) ** 2, energy, out=np.zeros(n), where=energy > 0)


def projected(query: Query, kind: Kind) -> np.ndarray:
    """Compute the signal that passes back from the query's neurons to the pixels, float32 ``[n, H, W, C]``.

    Raises:
        UserError: there is no rectifier before the neurons, so this would be the plain gradient.
    """
    if not any(is_rectifier(call) for call in query.graph.ancestors([query.start])):
        raise UserError(f"there is no ReLU or ReLU6 before {query.start.name!r}: use the method saliency")
    return ask(query, [query.image], kind).gradients[0]


def _projected(query: Query, kind: Kind, raw: bool) -> np.ndarray:
    signal = projected(query, kind)
    return signal if raw else np.abs(signal).max(axis=-1)


def is_rectifier(call: Call) -> bool:
    """Whether a call is a ReLU or ReLU6: a layer, a separate or fused activation, or an operator."""
    operation: Any = call.operation
    alone = isinstance(operation, keras.layers.Activation | keras.layers.ReLU)
    if not (call.part == "activation" or alone or not isinstance(operation, keras.Layer)):
        return False
    leaky = bool(getattr(operation, "negative_slope", 0))
    return activation_kind(call) in ("relu", "relu6") and not leaky


def guided(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """The kind of backward pass of guided backpropagation."""
    return {call: _guided_rectifier for call in graph.calls if is_rectifier(call)}


def resampled_strides(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    """Resample the signal at strided layers: Oramas, Wang, Tuytelaars, *Visual Explanation by
    Interpretation*, ICLR 2019, section 3.3.

    At a convolution or pool with a stride above 1, the signal is resampled by nearest neighbours to the size
    that the layer's output would have with stride 1. It then passes back with stride 1.
    """
    return {call: _resampled for call in graph.calls if _is_strided(call)}


def _guided_rectifier(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    # Then the rectifier's own gradient follows, which is 0 if it is closed.
    return carried(output, [output], lambda arriving, _: [ops.relu(arriving)])


def _deconvnet_rectifier(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    return carried(output, inputs, lambda arriving, _: [ops.relu(arriving)])


def _resampled(call: Call, inputs: Sequence[Any], output: Any) -> Any:
    def backward(arriving: Any, inputs: Sequence[Any]) -> list[Any]:
        def resampled(watch: Watch) -> tuple[Any, None]:
            with _stride_one(call.operation):
                dense = applied(call, [watch(0, inputs[0]), *inputs[1:]])
            return dense * _nearest(arriving, ops.shape(dense), call.outputs[0].channels_first), None

        return signals(resampled, [0])[0]

    return carried(output, inputs[:1], backward)


def _nearest(maps: Any, shape: Sequence[Any], channels_first: bool) -> Any:
    """Resample maps to the height and width of another shape, by nearest neighbours."""
    first = 2 if channels_first else 1
    for axis in (first, first + 1):
        size, wanted = ops.shape(maps)[axis], shape[axis]
        middles = 2 * ops.arange(wanted, dtype="int32") + 1
        maps = ops.take(maps, middles * size // (2 * wanted), axis=axis)
    return maps


def _is_strided(call: Call) -> bool:
    strides = getattr(call.operation, "strides", None)
    maps = len(call.outputs[0].shape) == 4
    return call.part != "activation" and maps and isinstance(strides, tuple) and max(strides) > 1


@contextmanager
def _stride_one(layer: Any) -> Iterator[None]:
    strides = layer.strides
    layer.strides = (1,) * len(strides)
    try:
        yield
    finally:
        layer.strides = strides


def _deconvnet(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    return {call: _deconvnet_rectifier for call in graph.calls if is_rectifier(call)}


def _deconvnet_resampled(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    return _deconvnet(graph, start) | resampled_strides(graph, start)


def _guided_resampled(graph: Graph, start: Tensor) -> dict[Call, Rule]:
    return guided(graph, start) | resampled_strides(graph, start)
