"""Rules of layers that resize maps: every output is a fixed mixture of rows and columns of the input."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.geometry import ActsAlike, Field, shifted, undefined
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the place of the input that weighs most in the output: the nearest one.

    A selection that is proportional takes its share of each place that is mixed.
    """
    coordinates = evidence.coordinates.copy()
    if not selection.proportional:
        for axis, mixture in enumerate(mixtures(step), start=1):
            # Rounded, so that of two places that weigh the same the first is taken on every backend.
            coordinates[:, axis] = mixture.round(5).argmax(axis=1)[coordinates[:, axis]]
        return [(step.input, evidence.at(coordinates))]
    places, shares = _mixed(mixtures(step), coordinates[:, 1:-1])
    values = step.value(step.input)[(coordinates[:, :1], *np.moveaxis(places, -1, 0), coordinates[:, -1:])]
    rows, terms, weights = selection.terms(shares * values, evidence, step, shares != 0)
    coordinates = coordinates[rows]
    coordinates[:, 1:-1] = places[rows, terms]
    return [(step.input, evidence.shared(rows, weights).at(coordinates))]


def _mixed(mixtures: list[np.ndarray], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the input that are mixed for places ``[n, axes]`` of the output, and their weights.

    Returns int ``[n, terms, axes]`` and float32 ``[n, terms]``.
    """
    found, shares = np.zeros((len(places), 1, 0), np.int64), np.ones((len(places), 1), np.float32)
    for mixture, place in zip(mixtures, places.T, strict=True):
        most = max(1, int(np.count_nonzero(mixture, axis=1).max()))
        column = np.argsort(mixture == 0, axis=1, kind="stable")[place, :most]
        weight = mixture[place[:, None], column]
        terms = found.shape[1]
        found = np.repeat(found, most, axis=1)
        found = np.concatenate([found, np.tile(column, (1, terms))[..., None]], axis=-1)
        shares = np.repeat(shares, most, axis=1) * np.tile(weight, (1, terms))
    return found, shares


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """``y = R x C^T`` with a matrix R for the rows and C for the columns: ``R^T k C``."""
    below = coefficients
    for axis, mixture in enumerate(mixtures(step), start=1):
        below = np.moveaxis(np.tensordot(below, mixture, axes=(axis, 0)), -1, axis)
    return [(step.input, below)], 0.0


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """Upsampling by repetition, and cropping to the centre."""
    inner, outer = step.places(tensor), step.places(step.output)
    if set(inner) == {1} != set(outer):
        raise ActsAlike
    kind = type(step.layer).__name__
    if kind == "CenterCrop" and all(a <= b for a, b in zip(outer, inner, strict=True)):
        return shifted(field, [(b - a) // 2 for a, b in zip(outer, inner, strict=True)])
    if kind.startswith("UpSampling") and step.layer.interpolation == "nearest":
        times = [a // b for a, b in zip(outer, inner, strict=True)]
        return tuple((first // n, last // n) for (first, last), n in zip(field, times, strict=True))
    raise undefined(step, "mixes places by interpolation")


def mixtures(step: Step) -> list[np.ndarray]:
    """For rows, columns, ...: the weight of each input in each output, float32
    ``[output size, input size]``."""
    layer, kind = step.layer, type(step.layer).__name__
    before, after = (list(step.shape(tensor)[1:-1]) for tensor in (step.input, step.output))
    if getattr(layer, "pad_to_aspect_ratio", False):
        raise TraceError(
            f"layer {step.call.name!r} pads to the aspect ratio, for which there is no rule; "
            "use crop_to_aspect_ratio, or resize the images beforehand"
        )
    interpolation = getattr(layer, "interpolation", "nearest")
    if kind.startswith("UpSampling") and interpolation == "nearest":
        return [_places(b, b).repeat(a // b, axis=0) for b, a in zip(before, after, strict=True)]
    if kind == "CenterCrop":
        if all(a <= b for a, b in zip(after, before, strict=True)):
            return [_places(b, a) for b, a in zip(before, after, strict=True)]
        return _resized(before, after, {}, crop=True)
    settings = {"interpolation": interpolation, "antialias": getattr(layer, "antialias", False)}
    return _resized(before, after, settings, crop=getattr(layer, "crop_to_aspect_ratio", False))


def _places(size: int, kept: int) -> np.ndarray:
    """One row for each location in the middle of an axis, float32 ``[kept, size]``."""
    return np.eye(size, dtype=np.float32)[(size - kept) // 2 :][:kept]


def _resized(before: list[int], after: list[int], settings: dict[str, Any], crop: bool) -> list[np.ndarray]:
    kept = _largest_of_aspect(before, after) if crop else before
    found = []
    for size, inner, outer in zip(before, kept, after, strict=True):
        # One channel for each location of the axis: the output is its weight everywhere.
        resized = keras.ops.image.resize(
            _places(size, inner)[None, :, None], (outer, 1), data_format="channels_last", **settings
        )
        found.append(as_array(resized)[0, :, 0])
    return found


def _largest_of_aspect(before: list[int], after: list[int]) -> list[int]:
    """The size of the largest part of a map with the aspect ratio of another, as Keras rounds it."""
    (height, width), (rows, columns) = before, after
    inner = int(float(width * rows) / columns), int(float(height * columns) / rows)
    return [max(min(height, inner[0]), 1), max(min(width, inner[1]), 1)]
