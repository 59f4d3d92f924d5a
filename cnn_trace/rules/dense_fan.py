"""The fan-in of dense neurons: all inputs of their vector, and the products ``a * w``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.kernels import as_array, derived
from gazeback.cnn_trace.step import Step

# The largest number of products that are computed at a time.
_CHUNK_VALUES = 1 << 20
# Inputs of a flattened map are visited in groups, the largest first.
_GROUP = 512


class DenseFan:
    """The fan-in of some neurons of a dense layer that read one vector (a time step, a flattened map).

    Args:
        step: the call, its input recorded.
        vector: the coordinates of the vector, the batch axis first.
        units: int ``[n]``.
        sense: int8 ``[n]``.

    Attributes:
        values: the vector, ``[inputs]``.
        kernel: ``[inputs, all units]``.
        tensor: the layer's input.
        over_map: whether the vector is a flattened map.
    """

    def __init__(self, step: Step, vector: tuple[int, ...], units: np.ndarray, sense: np.ndarray) -> None:
        self.tensor = step.input
        self.step, self.vector, self.units, self.sense = step, vector, units, sense
        self.values = step.value(step.input)[vector]
        self.kernel = as_array(step.layer.kernel)
        self.over_map = comes_from_flattened_map(step.input)

    @property
    def neurons(self) -> np.ndarray:
        """Coordinates that tell the neurons of the vector apart, int ``[n, 2]``; the first one is 0."""
        return np.column_stack([np.zeros(len(self), np.int64), self.units])

    def __len__(self) -> int:
        return len(self.units)

    def elements(self, inputs: np.ndarray) -> np.ndarray:
        """Convert inputs to flat indices of the layer's input (batch axis included)."""
        shape = self.step.shape(self.tensor)
        return np.ravel_multi_index(self.vector, shape[:-1]) * shape[-1] + inputs

    def take(self, neurons: np.ndarray) -> DenseFan:
        """The fan-in of some of the neurons."""
        return DenseFan(self.step, self.vector, self.units[neurons], self.sense[neurons])

    @property
    def bias(self) -> np.ndarray:
        """The neurons' biases times their signs, float32 ``[n]``."""
        if not self.step.layer.use_bias:
            return np.zeros(len(self), np.float32)
        return as_array(self.step.layer.bias)[self.units] * self.sense

    def parts(self, inputs: int) -> Iterator[slice]:
        """The neurons in chunks of a bounded number of products with so many inputs."""
        size = max(1, _CHUNK_VALUES // max(inputs, 1))
        return (slice(start, start + size) for start in range(0, len(self), size))

    def products(self, part: slice, inputs: np.ndarray) -> np.ndarray:
        """The products ``a * w`` times the sign, float32 ``[m, inputs]``."""
        return (self.kernel[np.ix_(inputs, self.units[part])] * self.values[inputs, None]).T * self.sense[
            part, None
        ]

    def strongest(self) -> tuple[np.ndarray, np.ndarray]:
        """Find each neuron's largest product if it is positive: neurons int ``[m]`` and their inputs int
        ``[m]``.

        Inputs are visited in descending ``|a|``; a neuron is finished when no later input can be larger.
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
        """Find the inputs with a positive product for any of some neurons, int ``[m]``, in order."""
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


def groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """For each distinct row of int ``[n, k]``, the indices of the rows that are equal to it."""
    _, owner = np.unique(keys, axis=0, return_inverse=True)
    return (np.flatnonzero(owner.ravel() == group) for group in range(owner.max(initial=-1) + 1))


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
