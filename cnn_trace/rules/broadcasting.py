"""Operands that are repeated along some axes of an output, tensors and constants."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.step import Step


def operands(call: Call) -> list[Any]:
    """Everything that a layer or operator was called on, tensors and constants, in order."""
    return keras.tree.flatten((call.arguments, call.keywords))


def number(constant: Any) -> np.ndarray:
    """A constant operand as a float32 array."""
    return np.asarray(as_array(constant), np.float32)


def constants(call: Call) -> list[tuple[int, np.ndarray]]:
    """The operands of an operator that are no tensors of the model, with their places."""
    return [
        (place, number(operand))
        for place, operand in enumerate(operands(call))
        if not isinstance(operand, Tensor) and operand is not None
    ]


def at(values: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """The elements ``[n]``, at coordinates ``[n, rank]`` of a tensor, of an array that broadcasts to it."""
    rank = coordinates.shape[1]
    full = values.reshape(*(1,) * (rank - values.ndim), *values.shape)
    index = tuple(coordinates[:, axis] if full.shape[axis] > 1 else 0 for axis in range(rank))
    return np.broadcast_to(full[index], len(coordinates))


def values_at(step: Step, evidence: Evidence, operand: Any) -> np.ndarray:
    """The values ``[n]`` of an operand, tensor or constant, where the evidence lies on the output."""
    if not isinstance(operand, Tensor):
        return at(number(operand), evidence.coordinates)
    elements = broadcast_back(step, evidence, operand).elements(step.shape(operand))
    return step.value(operand).reshape(-1).take(elements)


def broadcast_back(step: Step, evidence: Evidence, tensor: Tensor) -> Evidence:
    """The evidence at its coordinates on an operand that was broadcast to the output's shape."""
    shape, whole = step.shape(tensor), step.shape(step.output)
    if shape == whole:
        return evidence
    missing, coordinates = len(whole) - len(shape), evidence.coordinates
    if missing:
        coordinates = np.column_stack([coordinates[:, 0], coordinates[:, 1 + missing :]])
    if shape[1:] != whole[1 + missing :]:
        coordinates = np.minimum(coordinates, np.subtract(shape, 1))
    return evidence.at(coordinates)


def sum_back(step: Step, coefficients: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The adjoint of broadcasting: the sum over the axes along which an operand was repeated."""
    shape = step.shape(tensor)[1:]
    missing = coefficients.ndim - 1 - len(shape)
    if missing:
        coefficients = coefficients.sum(axis=tuple(range(1, 1 + missing)))
    repeated = tuple(
        axis for axis, size in enumerate(shape, start=1) if size == 1 and coefficients.shape[axis] != 1
    )
    return coefficients.sum(axis=repeated, keepdims=True) if repeated else coefficients


def inner(coefficients: np.ndarray, constant: Any) -> np.ndarray:
    """What a constant contributes under coefficients ``[questions, ...]``, float ``[questions]``."""
    constant = np.asarray(constant)
    if coefficients.ndim > 1 and constant.shape[-1:] == (constant.size,) == coefficients.shape[-1:]:
        # One number for each channel: a sum without an array of the size of the map.
        totals = coefficients.reshape(len(coefficients), -1, constant.size).sum(axis=1)
        return totals @ constant.ravel()
    full = coefficients * constant
    return full.reshape(len(full), -1).sum(axis=1)
