"""Layers and operators that only move elements: flatten, reshape, pad, crop, slice, transpose, repeat."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Found = list[tuple[Tensor, Evidence]]
Below = tuple[list[tuple[Tensor, np.ndarray]], float]


def walk_reshape(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """The element with the same place in memory order."""
    flat = np.ravel_multi_index(tuple(evidence.coordinates[:, 1:].T), step.shape(step.output)[1:])
    inner = np.stack(np.unravel_index(flat, step.shape(step.input)[1:]), axis=1)
    return [(step.input, evidence.at(np.column_stack([evidence.image, inner])))]


def adjoint_reshape(step: Step, coefficients: np.ndarray) -> Below:
    """The same elements in the other shape."""
    return [(step.input, coefficients.reshape(len(coefficients), *step.shape(step.input)[1:]))], 0.0


def walk_pad(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Shifted by the padding; what fell on padding goes to the nearest element of the map."""
    return [(step.input, _shifted(step, evidence, -np.array(_before(step.layer.padding))))]


def walk_crop(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Shifted by what was cropped."""
    return [(step.input, _shifted(step, evidence, np.array(_before(step.layer.cropping))))]


def _shifted(step: Step, evidence: Evidence, by: np.ndarray) -> Evidence:
    coordinates = evidence.coordinates.copy()
    spatial = slice(1, 1 + len(by))
    limits = np.subtract(step.shape(step.input)[spatial], 1)
    coordinates[:, spatial] = np.clip(coordinates[:, spatial] + by, 0, limits)
    return evidence.at(coordinates)


def _before(sides: Any) -> list[int]:
    if isinstance(sides[0], int):  # one axis: (before, after)
        return [sides[0]]
    return [before for before, _ in sides]


def adjoint_pad(step: Step, coefficients: np.ndarray) -> Below:
    """Cut the padding off."""
    inner = tuple(
        slice(b, b + n) for b, n in zip(_before(step.layer.padding), step.shape(step.input)[1:], strict=False)
    )
    return [(step.input, coefficients[(slice(None), *inner)])], 0.0


def adjoint_crop(step: Step, coefficients: np.ndarray) -> Below:
    """Zero where elements were cropped away."""
    below = np.zeros((len(coefficients), *step.shape(step.input)[1:]), np.float32)
    inner = tuple(
        slice(b, b + n) for b, n in zip(_before(step.layer.cropping), coefficients.shape[1:], strict=False)
    )
    below[(slice(None), *inner)] = coefficients
    return [(step.input, below)], 0.0


def walk_nowhere(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """An embedding looks numbers up in a table: no picture lies behind it."""
    return []


def adjoint_nowhere(step: Step, coefficients: np.ndarray) -> Below:
    """Nothing is handed on; the head lists the coefficients on the embedding's output."""
    return [], 0.0


def walk_gather(step: Step, evidence: Evidence, selection: CNNFixations) -> Found:
    """Slices, transposes and repeats, by where each element of the output was taken from."""
    source = _source(step)[tuple(evidence.coordinates[:, 1:].T)]
    inner = np.stack(np.unravel_index(source, step.shape(step.input)[1:]), axis=1)
    return [(step.input, evidence.at(np.column_stack([evidence.image, inner])))]


def adjoint_gather(step: Step, coefficients: np.ndarray) -> Below:
    """Each element takes back the coefficients of all places it was copied to."""
    shape = step.shape(step.input)[1:]
    below = np.zeros((len(coefficients), int(np.prod(shape))), np.float32)
    flat = coefficients.reshape(len(coefficients), -1)
    np.add.at(below.T, _source(step).ravel(), flat.T)
    return [(step.input, below.reshape(len(coefficients), *shape))], 0.0


def _source(step: Step) -> np.ndarray:
    """For every element of the output (no batch axis) the flat index of its element of the input."""
    shape = step.shape(step.input)[1:]
    index = np.arange(int(np.prod(shape))).reshape(1, *shape)
    layer, name = step.layer, type(step.layer).__name__
    if name == "GetItem":
        moved = index[_on_one_image(step.call.arguments[1])]
    elif name == "Transpose":
        moved = index.transpose(layer.axes)
    elif name == "Permute":
        moved = index.transpose((0, *layer.dims))
    elif name == "RepeatVector":
        moved = np.repeat(index[:, None], layer.n, axis=1)
    else:  # UpSampling2D with nearest neighbours
        moved = index.repeat(layer.size[0], axis=1).repeat(layer.size[1], axis=2)
    return moved[0]


def _on_one_image(key: Any) -> Any:
    key = key if isinstance(key, tuple) else (key,)
    return key if key[0] is Ellipsis else (slice(None), *key[1:])
