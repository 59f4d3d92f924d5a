"""Dense layers: section III of *CNN Fixations* (fully connected layers), and the exact adjoint."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

_CHUNK_VALUES = 1 << 23


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """Every input with ``a * w > 0`` (over a flattened map: as the selection says) supports the neuron.

    The layer acts on the last axis; all other axes (time steps, places) are carried along.
    """
    kernel = as_array(step.layer.kernel).T
    values = step.value(step.input)
    over_map = comes_from_flattened_map(step.input)
    found = []
    # Neurons of one vector share their inputs, so they merge by a matrix product.
    vectors, owner = np.unique(evidence.coordinates[:, :-1], axis=0, return_inverse=True)
    for v, vector in enumerate(vectors):
        members = np.flatnonzero(owner.ravel() == v)
        weights = np.zeros((kernel.shape[1], evidence.weights.shape[1]))
        for start in range(0, len(members), max(1, _CHUNK_VALUES // kernel.shape[1])):
            rows = members[start : start + max(1, _CHUNK_VALUES // kernel.shape[1])]
            products = kernel[evidence.coordinates[rows, -1]] * values[tuple(vector)]
            share = selection.inputs(products * evidence.sense[rows, None], over_map)
            weights += share.T @ evidence.weights[rows]
        units = np.flatnonzero(weights.any(axis=1))
        coordinates = np.column_stack([np.tile(vector, (len(units), 1)), units])
        found.append((step.input, Evidence.of(coordinates, weights[units])))
    return found


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
