"""Rules of layers and operators that move or copy elements: slices, transposes, repeats, splits, flips."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence, unravelled
from gazeback.cnn_trace.rules.geometry import Field, undefined
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Evidence propagates to the element from which each output element was taken."""
    taken, shape = source(step)[tuple(evidence.coordinates[:, 1:].T)], step.shape(step.input)
    elements = evidence.image * math.prod(shape[1:]) + taken
    return [(step.input, evidence.at(unravelled(elements, shape)))]


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """Each element gets the coefficients of all its copies."""
    shape = step.shape(step.input)[1:]
    below = np.zeros((len(coefficients), int(np.prod(shape))), np.float32)
    flat = coefficients.reshape(len(coefficients), -1)
    np.add.at(below.T, source(step).ravel(), flat.T)
    return [(step.input, below.reshape(len(coefficients), *shape))], 0.0


def source(step: Step) -> np.ndarray:
    """Find the flat index of the input element of every output element (no batch axis).

    The layer is run on a tensor of indices, with two images to check that it does not mix the batch.
    """
    shape, wanted = step.shape(step.input)[1:], step.shape(step.output)[1:]
    if None in (*shape, *wanted):
        raise _mixing(step)
    size = int(np.prod(shape))
    index = keras.ops.convert_to_tensor(np.arange(2 * size, dtype=np.int32).reshape(2, *shape))

    def fill(x: Any) -> Any:
        return index if isinstance(x, Tensor) else x

    arguments, keywords = keras.tree.map_structure(fill, (step.call.arguments, step.call.keywords))
    results = keras.tree.flatten(step.layer.call(*arguments, **keywords))
    moved = as_array(results[step.call.outputs.index(step.output)])
    first = moved[0] if moved.ndim and len(moved) == 2 else np.full(1, -1)
    if first.shape != wanted or (first >= size).any():
        raise _mixing(step)
    return first


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """The location from which each location was taken; the steps must be equal."""
    taken = np.stack(np.unravel_index(source(step), step.shape(tensor)[1:]))
    first = 1 if tensor.channels_first else 0
    found = []
    for axis, (low, high) in zip((first, first + 1), field, strict=True):
        by_place = np.moveaxis(taken[axis], axis, 0).reshape(taken.shape[1 + axis], -1)
        starts, ends = by_place.min(axis=1), by_place.max(axis=1)
        steps = set(np.diff(starts).tolist()) | set(np.diff(ends).tolist()) or {1}
        if len(steps) > 1 or min(steps) < 1:
            raise undefined(step, "moves places about")
        stride = steps.pop()
        found.append((low * stride + starts[0], high * stride + ends[0]))
    return tuple(found)


def _mixing(step: Step) -> TraceError:
    return TraceError(f"{step.call.name!r} mixes the images of a batch, for which there is no rule")
