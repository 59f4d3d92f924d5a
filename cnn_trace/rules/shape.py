"""Rules of layers and operators that keep the order of elements (flatten, reshape, pad, crop), and of
embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence, unravelled
from gazeback.cnn_trace.rules import gather
from gazeback.cnn_trace.rules.geometry import Field, shifted, undefined
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Found = list[tuple[Tensor, Evidence]]
Below = tuple[list[tuple[Tensor, np.ndarray]], float]


def walk_reshape(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence propagates to the element with the same index in memory order."""
    inner = unravelled(evidence.elements(step.shape(step.output)), step.shape(step.input))
    return [(step.input, evidence.at(inner, unique=True))]


def adjoint_reshape(step: Step, coefficients: np.ndarray) -> Below:
    """The same elements in the other shape."""
    return [(step.input, coefficients.reshape(len(coefficients), *step.shape(step.input)[1:]))], 0.0


def geometry_reshape(step: Step, tensor: Tensor, field: Field) -> Field:
    """In place if the shape is unchanged."""
    if step.shape(tensor) != step.shape(step.output):
        raise undefined(step, "rearranges places")
    return field


def walk_pad(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence is shifted by the padding; evidence on padding goes to the nearest element of the map."""
    return [(step.input, _shifted(step, evidence, -np.array(_before(step, "padding"))))]


def walk_crop(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence is shifted by the cropping."""
    return [(step.input, _shifted(step, evidence, np.array(_before(step, "cropping"))))]


def _shifted(step: Step, evidence: Evidence, by: np.ndarray) -> Evidence:
    coordinates = evidence.coordinates.copy()
    limits = np.subtract(step.shape(step.input)[1:], 1)
    coordinates[:, 1:] = np.clip(coordinates[:, 1:] + by, 0, limits)
    return evidence.at(coordinates)


def _before(step: Step, attribute: str) -> list[int]:
    """The padding or cropping before each axis except the first (the batch)."""
    sides = getattr(step.layer, attribute)
    if isinstance(sides[0], int):  # one axis: (before, after)
        sides = [sides]
    return [*(before for before, _ in sides), 0]


def adjoint_pad(step: Step, coefficients: np.ndarray) -> Below:
    """The padding is cropped."""
    return [(step.input, coefficients[_inner(step, _before(step, "padding"), step.input)])], 0.0


def adjoint_crop(step: Step, coefficients: np.ndarray) -> Below:
    """Zero where elements were cropped."""
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    below[_inner(step, _before(step, "cropping"), step.output)] = coefficients
    return [(step.input, below)], 0.0


def geometry_pad(step: Step, tensor: Tensor, field: Field) -> Field:
    """Shifted by the padding."""
    return shifted(field, [-before for before in _before(step, "padding")[:-1]])


def geometry_crop(step: Step, tensor: Tensor, field: Field) -> Field:
    """Shifted by what was cropped."""
    return shifted(field, _before(step, "cropping")[:-1])


def _inner(step: Step, before: list[int], smaller: Tensor) -> tuple[slice, ...]:
    """The slices of the larger of two tensors that contain the smaller one."""
    sizes = step.shape(smaller)[1:]
    return (slice(None), *(slice(b, b + n) for b, n in zip(before, sizes, strict=True)))


def walk_pad_operator(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """``keras.ops.pad`` with a constant is as a padding layer; with copies, evidence goes to the copied
    elements."""
    if step.layer.mode != "constant":
        return gather.walk(step, evidence, selection)
    return [(step.input, _shifted(step, evidence, -np.array(_padded(step))))]


def adjoint_pad_operator(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], Any]:
    """The constant of the padding is a bias; copies give their coefficients to the copied elements."""
    if step.layer.mode != "constant":
        return gather.adjoint(step, coefficients)
    below = coefficients[_inner(step, _padded(step), step.input)]
    constant = (*step.call.arguments[1:], *step.call.keywords.values(), None)[0] or 0.0
    outside = coefficients.reshape(len(below), -1).sum(axis=1) - below.reshape(len(below), -1).sum(axis=1)
    return [(step.input, below)], constant * outside


def geometry_pad_operator(step: Step, tensor: Tensor, field: Field) -> Field:
    """Shifted by a constant padding."""
    if step.layer.mode != "constant":
        raise undefined(step, "repeats places")
    first = 1 if tensor.channels_first else 0
    return shifted(field, [-before for before in _padded(step)[first : first + 2]])


def _padded(step: Step) -> list[int]:
    """The padding of ``keras.ops.pad`` before each axis except the first (the batch)."""
    sides = list(step.layer.pad_width)
    sides = sides * len(step.input.shape) if len(sides) == 1 else sides
    if any(sides[0]):
        raise TraceError(f"{step.call.name!r} pads the batch axis, for which there is no rule")
    return [before for before, _ in sides[1:]]


def walk_nowhere(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Evidence ends at an embedding, which has no picture before it."""
    return []


def adjoint_nowhere(step: Step, coefficients: np.ndarray) -> Below:
    """Nothing propagates; the head lists the coefficients on the embedding's output."""
    return [], 0.0
