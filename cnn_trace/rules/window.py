"""Sliding windows: which places of a map a neuron of a convolution or a pool looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError


@dataclass(frozen=True)
class Window:
    """The window of one layer on one map.

    Attributes:
        size, stride, dilation: (rows, columns) in elements of the map.
        pad_before: (rows, columns) of padding above and to the left.
        map_size: (height, width) of the layer's input.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad_before: tuple[int, int]
    map_size: tuple[int, int]

    @classmethod
    def of(cls, layer: Any, map_size: tuple[int, ...]) -> Window:
        """The window of a convolution or pooling layer on a map of (height, width)."""
        if layer.data_format == "channels_first":
            raise TraceError(f"layer {layer.name!r} has its channels first; only channels_last can be traced")
        size = tuple(getattr(layer, "kernel_size", None) or layer.pool_size)
        stride = tuple(layer.strides)
        dilation = tuple(getattr(layer, "dilation_rate", (1, 1)))
        pad = (0, 0)
        if layer.padding == "same":
            pad = tuple(map(_same_padding, map_size, size, stride, dilation))  # type: ignore[assignment]
        return cls(size, stride, dilation, pad, map_size)  # type: ignore[arg-type]

    @property
    def taps(self) -> list[tuple[int, int]]:
        """The (row, column) of every element of the window, row by row."""
        return [(i, j) for i in range(self.size[0]) for j in range(self.size[1])]

    def place(self, positions: np.ndarray, tap: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Where one tap of the windows at output ``positions [n, 2]`` lies on the input.

        Returns:
            int ``[n, 2]`` (row, column), clipped to the map, and bool ``[n]``: whether it was inside.
        """
        if self.size == (1, 1) and self.stride == (1, 1):
            return positions, np.ones(len(positions), bool)
        raw = positions * self.stride - self.pad_before + np.multiply(tap, self.dilation)
        inside = np.all((raw >= 0) & (raw < self.map_size), axis=1)
        return np.clip(raw, 0, np.subtract(self.map_size, 1)), inside

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """``position*stride - pad + ((size-1)*dilation)//2``, clipped to the map."""
        half = np.multiply(np.subtract(self.size, 1), self.dilation) // 2
        raw = positions * self.stride - self.pad_before + half
        return np.clip(raw, 0, np.subtract(self.map_size, 1))


def _same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
    return total // 2
