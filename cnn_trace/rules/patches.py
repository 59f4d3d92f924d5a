"""``keras.ops.image.extract_patches``: each location holds all elements of its window as channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.geometry import Field
from gazeback.cnn_trace.rules.operators import LayerOf
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the element that was copied; for padding, to the nearest element of the map."""
    channels = step.shape(step.input)[-1]
    tap, channel = np.divmod(evidence.coordinates[:, -1], channels)
    window = _window(step)
    places, _ = window.elements(evidence.coordinates[:, 1:-1])
    place = places[np.arange(len(evidence)), tap]
    position = np.unravel_index(place, window.map_size)
    return [(step.input, evidence.at(np.column_stack([evidence.image, *position, channel])))]


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """Each element gets the sum of the coefficients of all its copies."""
    questions, *size, _ = coefficients.shape
    shape = step.shape(step.input)
    places, inside = _window(step).elements(np.argwhere(np.ones(size, bool)))
    by_tap = coefficients.reshape(questions, len(places), places.shape[1], shape[-1])
    below = np.zeros((questions, int(np.prod(shape[1:-1])), shape[-1]), np.float32)
    np.add.at(below.swapaxes(0, 1), places[inside], by_tap[:, inside].swapaxes(0, 1))
    return [(step.input, below.reshape(questions, *shape[1:]))], 0.0


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """Each location sees its window."""
    return _window(step).seen(field)


def _window(step: Step) -> Window:
    operation = step.layer
    sliding: dict[str, Any] = {
        "kernel_size": tuple(operation.size),
        "strides": operation.strides or tuple(operation.size),  # None before Keras 3.14
        "dilation_rate": operation.dilation_rate,
        "padding": operation.padding,
    }
    return Window.of(LayerOf(step.call.name, **sliding), step.shape(step.input)[1:-1])
