"""Pooling layers: section III of *CNN Fixations* (the argmax of the window), and the exact adjoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence, unravelled
from gazeback.cnn_trace.rules.geometry import Field, SeesEverything, undefined
from gazeback.cnn_trace.rules.linear import Linear, Stages
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Below = tuple[list[tuple[Tensor, np.ndarray]], Any]

# ``np.argmax`` or ``np.argmin``.
Choose = Callable[..., np.ndarray]


def adjoint_sum(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], float]:
    """Every term takes the coefficient."""
    shape = (len(coefficients), *step.shape(step.input)[1:])
    return [(step.input, np.broadcast_to(_expanded(coefficients, shape, named_axes(step)), shape))], 0.0


def walk_max(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the largest value in the window; padding is never chosen."""
    places, inside, values = _windows(step, evidence)
    best = np.where(inside, values, -np.inf).argmax(axis=1)
    return [(step.input, _at_places(step, evidence, places[np.arange(len(places)), best]))]


def walk_average(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the values in the window that the selection keeps.

    As published: the largest one.
    """
    places, inside, values = _windows(step, evidence)
    rows, terms, weights = selection.terms(values, evidence, step, inside, signed=False)
    return [(step.input, _at_places(step, evidence.shared(rows, weights), places[rows, terms]))]


def _windows(step: Step, evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each neuron the places in its window, which of them are on the map, and the values there."""
    maps, neurons = step.value(step.input), evidence.coordinates
    places, inside = Window.of(step.layer, maps.shape[1:-1]).elements(neurons[:, 1:-1])
    values = maps.reshape(len(maps), -1, maps.shape[-1])[neurons[:, :1], places, neurons[:, -1:]]
    return places, inside, values


def _at_places(step: Step, evidence: Evidence, places: np.ndarray) -> Evidence:
    """Evidence at other places of the input, in the same channels; places are flat indices of a map."""
    coordinates = evidence.coordinates.copy()
    coordinates[:, 1:-1] = unravelled(places, step.shape(step.input)[1:-1])
    return evidence.at(coordinates)


def walk_extreme(
    choose: Choose, step: Step, evidence: Evidence, selection: CNNFixations
) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the largest (smallest) value over the axes that the layer reduces."""
    keys, terms = _reduced(step, evidence, step.value(step.input))
    unique, owner = np.unique(keys, axis=0, return_inverse=True)
    best = choose(terms[tuple(unique.T)], axis=1)[owner.ravel()]
    return [(step.input, evidence.at(_expanded_back(step, keys, best)))]


def walk_mean(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to those of the averaged values that the selection keeps.

    As published: the largest one.
    """
    keys, terms = _reduced(step, evidence, step.value(step.input))
    inside = None
    if len(step.call.inputs) > 1:
        mask = np.broadcast_to(step.value(step.call.inputs[1])[..., None], step.shape(step.input))
        inside = _reduced(step, evidence, mask)[1][tuple(keys.T)]
    rows, best, weights = selection.terms(terms[tuple(keys.T)], evidence, step, inside, signed=False)
    return [(step.input, evidence.shared(rows, weights).at(_expanded_back(step, keys[rows], best)))]


def walk_sum(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to the terms that the selection keeps.

    As published: the largest one; for a neuron that is sought low, the smallest one.
    """
    keys, terms = _reduced(step, evidence, step.value(step.input))
    rows, best, weights = selection.terms(terms[tuple(keys.T)], evidence, step)
    return [(step.input, evidence.shared(rows, weights).at(_expanded_back(step, keys[rows], best)))]


def _reduced(step: Step, evidence: Evidence, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The neurons' coordinates on the axes that are kept, and the values with the other axes as one, last."""
    axes = reduced_axes(step)
    kept = [axis for axis in range(values.ndim) if axis not in axes]
    keys = evidence.coordinates
    if keys.shape[1] == values.ndim:  # keepdims
        keys = keys[:, kept]
    last = np.moveaxis(values, axes, range(len(kept), values.ndim))
    return keys, last.reshape(*last.shape[: len(kept)], -1)


def _expanded_back(step: Step, keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Coordinates on the input: places, flat indices of the axes that are reduced, for keys on the others."""
    shape, axes = step.shape(step.input), reduced_axes(step)
    coordinates = np.empty((len(keys), len(shape)), np.int64)
    coordinates[:, [axis for axis in range(len(shape)) if axis not in axes]] = keys
    coordinates[:, axes] = unravelled(places, tuple(shape[axis] for axis in axes))
    return coordinates


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """The window."""
    return Window.of(step.layer, step.places(tensor)).seen(field)


def geometry_global(step: Step, tensor: Tensor, field: Field) -> Field:
    """Global pools see everything; what reduces channels only stays in place."""
    if not hasattr(step.layer, "axis"):
        raise SeesEverything
    first = 2 if tensor.channels_first else 1
    reduced = {first, first + 1}.intersection(named_axes(step))
    if len(reduced) == 1:
        raise undefined(step, "reduces one of height and width")
    if reduced:
        raise SeesEverything
    return field


def reduced_axes(step: Step) -> list[int]:
    """The axes that a global pooling layer, or a reducing operator, reduces."""
    if not hasattr(step.layer, "axis"):
        return list(range(1, len(step.input.shape) - 1))
    return named_axes(step)


def named_axes(step: Step) -> list[int]:
    """The axes that the operator reduces, sorted."""
    axis, rank = step.layer.axis, len(step.input.shape)
    axes = [] if axis is None else [a % rank for a in (axis if isinstance(axis, list | tuple) else [axis])]
    if not axes or 0 in axes:
        raise TraceError(
            f"{step.call.name!r} reduces the batch axis, for which there is no rule; name the axes"
        )
    return sorted(axes)


def adjoint_max(step: Step, coefficients: np.ndarray) -> Below:
    """Frozen: the coefficient belongs to the element that was the maximum (the first one, if several)."""
    maps = step.value(step.input)
    window = Window.of(step.layer, maps.shape[1:-1])
    questions, *size, channels = coefficients.shape
    places, inside = window.elements(_positions(size))
    flat = maps.reshape(questions, -1, channels)
    best = np.full((questions, len(places), channels), -np.inf, maps.dtype)
    target = np.zeros(best.shape, np.int64)
    for place, within in zip(places.T, inside.T, strict=True):
        values = np.where(within[:, None], flat[:, place], -np.inf)
        better = values > best
        best[better], target[better] = values[better], np.broadcast_to(place[:, None], best.shape)[better]
    below = np.zeros(flat.shape, np.float32)
    q, c = np.ogrid[:questions, :channels]
    np.add.at(below, (q[:, None], target, c[None]), coefficients.reshape(best.shape))
    return [(step.input, below.reshape(maps.shape))], 0.0


class Averaging(Linear):
    """The mean over a window, padding not counted."""

    @cached_property
    def counts(self) -> np.ndarray:
        """float32 ``[*places, 1]``, how many places of each window lie on the map."""
        _, inside = self.window.elements(_positions(self.places))
        return inside.sum(axis=1, dtype=np.float32).reshape(*self.places, 1)

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The mean of the inputs, each times its weight (1 in a plain mean)."""
        return super().forward(inputs, weights) / self.counts

    def adjoint(self, arriving: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The mean shares what arrives among the elements of the window."""
        return super().adjoint(arriving / self.counts, weights)


def averaging(step: Step) -> Stages:
    """Average pooling: a depthwise convolution whose weights are 1, over the size of the window."""
    *size, channels = step.shape(step.input)[1:]
    window = Window.of(step.layer, tuple(size))
    ones = np.ones((*window.size, channels, 1), np.float32)
    places = step.shape(step.output)[1:-1]
    return (Averaging(step.layer, ones, window, places, 1, channels, channels),)


def _positions(size: Sequence[int]) -> np.ndarray:
    """Every position of a map, int ``[positions, axes]``."""
    return np.stack(np.unravel_index(np.arange(int(np.prod(size))), tuple(size)), axis=1)


def adjoint_global_average(step: Step, coefficients: np.ndarray) -> Below:
    """Global average pooling spreads a coefficient evenly over what was averaged; not over masked steps."""
    shape = (len(coefficients), *step.shape(step.input)[1:])
    axes = reduced_axes(step)
    share = _expanded(coefficients, shape, axes) / np.prod([shape[axis] for axis in axes])
    if len(step.call.inputs) > 1:
        mask = step.value(step.call.inputs[1]).astype(np.float32)
        share = share * (mask / np.maximum(mask.mean(axis=1, keepdims=True), 1e-30))[..., None]
    return [(step.input, np.broadcast_to(share, shape))], 0.0


def masks(call: Call, selection: CNNFixations) -> tuple[Tensor, ...]:
    """The mask of a global average over steps, if it has one."""
    return call.inputs[1:]


def adjoint_extreme(choose: Choose, step: Step, coefficients: np.ndarray) -> Below:
    """Frozen: the coefficient belongs to the place of the largest (smallest) value, the first if several."""
    values, axes = step.value(step.input), reduced_axes(step)
    last = np.moveaxis(values, axes, range(values.ndim - len(axes), values.ndim))
    flat = last.reshape(*last.shape[: -len(axes)], -1)
    below = np.zeros(flat.shape, np.float32)
    found = choose(flat, axis=-1)[..., None]
    np.put_along_axis(below, found, coefficients.reshape(found.shape), axis=-1)
    below = np.moveaxis(below.reshape(last.shape), range(values.ndim - len(axes), values.ndim), axes)
    return [(step.input, below)], 0.0


def _expanded(coefficients: np.ndarray, shape: tuple[int, ...], axes: list[int]) -> np.ndarray:
    return coefficients.reshape([1 if axis in axes else size for axis, size in enumerate(shape)])
