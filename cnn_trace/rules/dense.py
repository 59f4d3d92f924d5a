"""Dense layers: section III of *CNN Fixations* (fully connected layers), and the exact adjoint."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.dense_fan import DenseFan
from gazeback.cnn_trace.rules.fan import Fan
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step


class PointwiseFan(Fan):
    """A dense layer on a map, which is a 1x1 convolution."""

    def __init__(self, step: Step, neurons: np.ndarray, sense: np.ndarray) -> None:
        self.step, self.neurons, self.sense = step, neurons, sense
        self.shape = step.shape(step.input)
        one, zero = (1,) * (len(self.shape) - 2), (0,) * (len(self.shape) - 2)
        self.window = Window(one, one, one, zero, self.shape[1:-1])
        self.groups, (self.width, self.filters) = 1, step.layer.kernel.shape
        self.group, self.taps = 0, 1


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Every input with ``a * w > 0`` (over a flattened map: as the selection says) supports the neuron.

    The layer acts on the last axis; time steps are carried along. On a map it is a 1x1 convolution.
    """
    if step.input.is_map:
        fan = PointwiseFan(step, evidence.coordinates, evidence.sense)
        return [(step.input, selection.window(fan, evidence))]
    found = []
    # Neurons of one vector share their inputs.
    vectors, owner = np.unique(evidence.coordinates[:, :-1], axis=0, return_inverse=True)
    for v, vector in enumerate(vectors):
        members = np.flatnonzero(owner.ravel() == v)
        units, sense = evidence.coordinates[members, -1], evidence.sense[members]
        inputs, weights = selection.dense(
            DenseFan(step, tuple(vector), units, sense), evidence.weights[members]
        )
        coordinates = np.column_stack([np.tile(vector, (len(inputs), 1)), inputs])
        found.append((step.input, Evidence.of(coordinates, weights)))
    return found


def feeding(step: Step, evidence: Evidence) -> np.ndarray:
    """The largest single ``a * w`` that feeds each neuron, float32 ``[n]``."""
    if step.input.is_map:
        return PointwiseFan(step, evidence.coordinates, evidence.sense).largest()
    largest = np.zeros(len(evidence), np.float32)
    vectors, owner = np.unique(evidence.coordinates[:, :-1], axis=0, return_inverse=True)
    for v, vector in enumerate(vectors):
        members = np.flatnonzero(owner.ravel() == v)
        fan = DenseFan(step, tuple(vector), evidence.coordinates[members, -1], evidence.sense[members])
        inputs = np.flatnonzero(fan.values)
        for part in fan.parts(len(inputs)):
            largest[members[part]] = fan.products(part, inputs).max(axis=1, initial=0)
    return largest


def adjoint(step: Step, coefficients: np.ndarray) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """``W k`` for every vector that carries a coefficient, and ``b k`` for the bias."""
    kernel = as_array(step.layer.kernel)
    flat = coefficients.reshape(-1, coefficients.shape[-1])
    below = np.zeros((len(flat), kernel.shape[0]), np.float32)
    used = np.flatnonzero(flat.any(axis=1))
    single = np.count_nonzero(flat[used], axis=1) == 1
    unit = flat[used[single]].argmax(axis=1), flat[used[single]].argmin(axis=1)
    unit = np.where(flat[used[single], unit[0]] > 0, *unit)
    # A question starts at one neuron: its row of the kernel, not a product with all of them.
    below[used[single]] = (kernel[:, unit] * flat[used[single], unit]).T
    below[used[~single]] = flat[used[~single]] @ kernel.T
    bias = np.zeros(len(coefficients))
    if step.layer.use_bias:
        per_vector = np.zeros(len(flat))
        per_vector[used] = flat[used] @ as_array(step.layer.bias)
        bias = per_vector.reshape(len(coefficients), -1).sum(axis=1)
    return [(step.input, below.reshape(*coefficients.shape[:-1], -1))], bias
