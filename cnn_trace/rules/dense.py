"""Dense layers: section III of *CNN Fixations* (fully connected layers), and the exact adjoint."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.fan import Fan
from gazeback.cnn_trace.rules.kernels import as_array, derived
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

# Products are worked out for at most so many at a time.
_CHUNK_VALUES = 1 << 20
# Inputs of a flattened map are looked at in groups, the largest first.
_GROUP = 512


class DenseFan:
    """The inputs of some neurons of a dense layer that act on one vector (a time step, a flattened map).

    Args:
        step: the call, its input recorded.
        vector: the coordinates of the vector, the batch axis first.
        units: int ``[n]``.
        sense: int8 ``[n]``.

    Attributes:
        values: the vector, ``[inputs]``.
        kernel: ``[inputs, all units]``.
        over_map: whether the vector is a flattened map.
    """

    def __init__(self, step: Step, vector: tuple[int, ...], units: np.ndarray, sense: np.ndarray) -> None:
        self.step, self.vector, self.units, self.sense = step, vector, units, sense
        self.values = step.value(step.input)[vector]
        self.kernel = as_array(step.layer.kernel)
        self.over_map = comes_from_flattened_map(step.input)

    def __len__(self) -> int:
        return len(self.units)

    def take(self, neurons: np.ndarray) -> DenseFan:
        """The same for some of the neurons."""
        return DenseFan(self.step, self.vector, self.units[neurons], self.sense[neurons])

    @property
    def bias(self) -> np.ndarray:
        """The neurons' biases, the sense applied, float32 ``[n]``."""
        if not self.step.layer.use_bias:
            return np.zeros(len(self), np.float32)
        return as_array(self.step.layer.bias)[self.units] * self.sense

    def parts(self, inputs: int) -> Iterator[slice]:
        """The neurons in chunks of a bounded number of products with so many inputs."""
        size = max(1, _CHUNK_VALUES // max(inputs, 1))
        return (slice(start, start + size) for start in range(0, len(self), size))

    def products(self, part: slice, inputs: np.ndarray) -> np.ndarray:
        """``a * w`` times the sense, float32 ``[m, inputs]``."""
        return (self.kernel[np.ix_(inputs, self.units[part])] * self.values[inputs, None]).T * self.sense[
            part, None
        ]

    def strongest(self) -> tuple[np.ndarray, np.ndarray]:
        """Each neuron's largest product if it is positive: neurons int ``[m]`` and their inputs int ``[m]``.

        The inputs are visited in falling ``|a|``; a neuron is done when no later one can win.
        """
        order = np.flatnonzero(self.values)
        order = order[np.argsort(-np.abs(self.values[order]), kind="stable")]
        bound = derived(self.step.layer, self.step.layer.kernel, _largest_weights)[self.units]
        best, found = np.zeros(len(self), np.float32), np.full(len(self), -1, np.int64)
        open_ = np.arange(len(self))
        for start in range(0, len(order), _GROUP):
            group = order[start : start + _GROUP]
            open_ = open_[bound[open_] * np.abs(self.values[group[0]]) >= best[open_]]
            if not len(open_):
                break
            products = self.kernel[np.ix_(group, self.units[open_])] * self.values[group, None]
            products *= self.sense[open_]
            place = products.argmax(axis=0)
            value = products[place, np.arange(len(open_))]
            earlier = (value == best[open_]) & (group[place] < found[open_])
            better = (value > best[open_]) | earlier
            best[open_[better]], found[open_[better]] = value[better], group[place[better]]
        kept = np.flatnonzero(best > 0)
        return kept, found[kept]

    def supporters(self, neurons: np.ndarray) -> np.ndarray:
        """The inputs with a positive product for any of some neurons, int ``[m]``, in order."""
        left = np.flatnonzero(self.values)
        signs = np.sign(self.values)
        kept = []
        # Most inputs support one of the first few neurons.
        for start in range(0, len(neurons), 16):
            part = neurons[start : start + 16]
            signed = self.kernel[np.ix_(left, self.units[part])] * self.sense[part]
            reached = (signed * signs[left, None] > 0).any(axis=1)
            kept.append(left[reached])
            left = left[~reached]
            if not len(left):
                break
        return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)


def _largest_weights(kernel: np.ndarray) -> np.ndarray:
    """The largest ``|w|`` of each unit."""
    return np.maximum(kernel.max(axis=0), -kernel.min(axis=0))


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


def comes_from_flattened_map(tensor: Tensor) -> bool:
    """Whether a vector is a flattened map (through layers that keep its elements in place)."""
    while tensor.call is not None and len(tensor.shape) == 2:
        call = tensor.call
        if len(call.inputs) != 1 or type(call.operation).__name__ in _CHANGES_ELEMENTS:
            return False
        if len(call.inputs[0].shape) == 4:
            return call.inputs[0].is_map and type(call.operation).__name__ in ("Flatten", "Reshape")
        tensor = call.inputs[0]
    return False


_CHANGES_ELEMENTS = ("Dense", "Embedding", "LSTM", "GRU")


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
