"""Dense layers: section III of *CNN Fixations* (fully connected layers), and the exact adjoint."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules import linear
from gazeback.cnn_trace.rules.dense_fan import DenseFan, groups
from gazeback.cnn_trace.rules.fan import fan_of
from gazeback.cnn_trace.rules.geometry import in_place
from gazeback.cnn_trace.rules.linear import Linear, Stages
from gazeback.cnn_trace.rules.rule import Rule, inputs, nothing
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


def weighing(step: Step) -> Stages:
    """Describe a layer that acts on the last axis, at each location or time step alike."""
    layer, (*places, width) = step.layer, step.shape(step.input)[1:]
    window, filters = Window.point(tuple(places)), step.shape(step.output)[-1]
    bias = layer.bias if layer.use_bias else None
    return (Linear(layer, layer.kernel, window, window.map_size, width, filters, bias=bias),)


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Propagate evidence to every input with ``a * w > 0`` (over a flattened map: as the selection says).

    The layer acts on the last axis, at each time step alike. On a map it is a 1x1 convolution.
    """
    if step.input.is_map:
        return [(step.input, selection.window(fan_of(weighing(step), step, evidence), evidence))]
    found = []
    for fan, members in _fans(step, evidence):
        inputs, weights = selection.dense(fan, evidence.weights[members])
        coordinates = np.column_stack([np.tile(fan.vector, (len(inputs), 1)), inputs])
        found.append((step.input, Evidence.of(coordinates, weights, selection.sense_of(fan.values[inputs]))))
    return found


def feeding(step: Step, evidence: Evidence) -> np.ndarray:
    """The largest single ``a * w`` that feeds each neuron, float32 ``[n]``."""
    if step.input.is_map:
        return fan_of(weighing(step), step, evidence).largest()
    largest = np.zeros(len(evidence), np.float32)
    for fan, members in _fans(step, evidence):
        inputs = np.flatnonzero(fan.values)
        for part in fan.parts(len(inputs)):
            largest[members[part]] = fan.products(part, inputs).max(axis=1, initial=0)
    return largest


def _fans(step: Step, evidence: Evidence) -> Iterator[tuple[DenseFan, np.ndarray]]:
    """The fan-in of the neurons of each vector, and the rows of these neurons in the evidence."""
    for members in groups(evidence.coordinates[:, :-1]):
        *vector, _ = evidence.coordinates[members[0]]
        units, sense = evidence.coordinates[members, -1], evidence.sense[members]
        yield DenseFan(step, tuple(vector), units, sense), members


RULE = Rule(
    walk,
    partial(linear.adjoint, weighing),
    inputs,
    nothing,
    feeding,
    in_place,
    weighing,
    excitation="linear",
)
