"""Sliding windows: which places of a map a neuron of a convolution or a pool looks at, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Window:
    """The window of one layer on one map. All tuples have one number per spatial axis (rows, columns, ...).

    Attributes:
        size, stride, dilation: in elements of the map.
        pad_before: padding before the first element.
        map_size: the size of the layer's input, ``(height, width)`` for a picture.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pad_before: tuple[int, ...]
    map_size: tuple[int, ...]

    @classmethod
    def of(cls, layer: Any, map_size: tuple[int, ...]) -> Window:
        """The window of a convolution or pooling layer on a map of this size."""
        rank = len(map_size)
        size = _per_axis(getattr(layer, "kernel_size", None) or layer.pool_size, rank)
        stride = _per_axis(layer.strides, rank)
        dilation = _per_axis(getattr(layer, "dilation_rate", 1), rank)
        if layer.padding == "same":
            pad = tuple(map(_same_padding, map_size, size, stride, dilation))
        elif layer.padding == "causal":
            pad = tuple((s - 1) * d for s, d in zip(size, dilation, strict=True))
        else:
            pad = (0,) * rank
        return cls(size, stride, dilation, pad, map_size)

    @property
    def taps(self) -> list[tuple[int, ...]]:
        """The place of every element of the window in it, row by row."""
        return list(np.ndindex(*self.size))

    def elements(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The elements of the map under the windows of some output positions.

        Args:
            positions: int ``[n, axes]``.

        Returns:
            int ``[n, taps]``, flat indices of the map (padding: the nearest element), and bool ``[n, taps]``:
            whether it is an element and no padding.
        """
        flat = np.zeros((len(positions), 1), np.int64)
        inside = np.ones((len(positions), 1), bool)
        for axis, length in enumerate(self.map_size):
            taps = np.arange(self.size[axis]) * self.dilation[axis] - self.pad_before[axis]
            place = (positions[:, axis] * self.stride[axis])[:, None] + taps
            clipped = np.minimum(np.maximum(place, 0), length - 1)
            within = clipped == place
            flat = (flat[:, :, None] * length + clipped[:, None]).reshape(len(positions), -1)
            inside = (inside[:, :, None] & within[:, None]).reshape(len(positions), -1)
        return flat, inside

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """``position*stride - pad + ((size-1)*dilation)//2``, clipped to the map; int ``[n, axes]``."""
        if set(self.size) == {1} and set(self.stride) == {1}:
            return positions
        half = np.multiply(np.subtract(self.size, 1), self.dilation) // 2
        raw = positions * self.stride + (half - self.pad_before)
        return np.minimum(np.maximum(raw, 0), np.subtract(self.map_size, 1))


def _per_axis(setting: Any, rank: int) -> tuple[int, ...]:
    return tuple(setting) if isinstance(setting, list | tuple) else (setting,) * rank


def _same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
    return total // 2
