"""Kernels laid out for gathering: one row of input weights per tap and output channel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

# The weights of the recording that is being traced, by the variable's id.
_recorded: ContextVar[dict[int, np.ndarray] | None] = ContextVar("recorded", default=None)
_laid_out: WeakKeyDictionary[Any, tuple[float, np.ndarray]] = WeakKeyDictionary()


@contextmanager
def weights(recorded: dict[int, np.ndarray]) -> Iterator[None]:
    """While tracing, take weights from a recording: the forward pass hands them out all at once.

    Args:
        recorded: arrays by the ``id`` of their Keras variable.
    """
    token = _recorded.set(recorded)
    try:
        yield
    finally:
        _recorded.reset(token)


def gathering_layout(layer: Any, kernel: Any) -> np.ndarray:
    """The kernel ``[kh, kw, in, out]`` as a contiguous array ``[kh, kw, out, in]``.

    The copy is kept per layer, and made again when the weights have changed since.
    """
    array = as_array(kernel)
    fingerprint = _fingerprint(array.reshape(-1, array.shape[-1]))
    known = _laid_out.get(layer)
    if known is None or known[0] != fingerprint:
        known = (fingerprint, np.ascontiguousarray(np.moveaxis(array, -1, -2)))
        _laid_out[layer] = known
    return known[1]


def _fingerprint(matrix: np.ndarray) -> float:
    # A random projection: kernels that differ only in the order of their values differ in it too.
    return float(_direction(matrix.shape[0]) @ matrix @ _direction(matrix.shape[1]))


@cache
def _direction(size: int) -> np.ndarray:
    return np.random.default_rng(size).normal(size=(size,)).astype(np.float32)


def as_array(variable: Any) -> np.ndarray:
    """A Keras variable as an array, without a copy where the backend allows it."""
    recorded = _recorded.get()
    if recorded and id(variable) in recorded:
        return recorded[id(variable)]
    if isinstance(variable, keras.Variable):
        # A tensor's memory can be shared; a TensorFlow variable would be copied.
        variable = keras.ops.convert_to_tensor(variable)
    try:
        return np.asarray(variable)
    except (TypeError, RuntimeError):  # PyTorch: a tensor that requires grad, or lies on another device
        return np.asarray(variable.detach().cpu())
