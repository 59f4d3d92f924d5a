"""Sliding windows: which places of a map a neuron of a convolution or a pool looks at, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.rules.geometry import Field
from gazeback.cnn_trace.step import Step


@dataclass(frozen=True)
class Window:
    """The window of one layer on one map. All tuples have one number per spatial axis (rows, columns, ...).

    Attributes:
        size, stride, dilation: in elements of the map.
        pad_before: padding before the first element.
        map_size: the size of the layer's input, ``(height, width)`` for a picture.
        padded: whether windows may reach beyond the map.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pad_before: tuple[int, ...]
    map_size: tuple[int, ...]
    padded: bool = True

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
        return cls(size, stride, dilation, pad, map_size, layer.padding != "valid")

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
        n = len(positions)
        if self.is_point:
            flat = positions[:, 0]
            for axis in range(1, len(self.map_size)):
                flat = flat * self.map_size[axis] + positions[:, axis]
            return flat[:, None], np.ones((n, 1), bool)
        flat, inside = np.zeros((n, 1), np.int64), np.ones((n, 1), bool)
        for axis, (length, taps) in enumerate(zip(self.map_size, self._offsets, strict=True)):
            place = (positions[:, axis] * self.stride[axis])[:, None] + taps
            if self.padded:
                clipped = np.minimum(np.maximum(place, 0), length - 1)
                inside = (inside[:, :, None] & (clipped == place)[:, None]).reshape(n, -1)
                place = clipped
            flat = (flat[:, :, None] * length + place[:, None]).reshape(n, -1)
        return flat, inside if self.padded else np.ones(flat.shape, bool)

    @cached_property
    def is_point(self) -> bool:
        """Whether every position sees only the same position of the map."""
        return set(self.size) == {1} and set(self.stride) == {1}

    @cached_property
    def _offsets(self) -> list[np.ndarray]:
        """For each axis where the taps of the window at output position 0 lie, in elements of the map."""
        each = zip(self.size, self.dilation, self.pad_before, strict=True)
        return [np.arange(size) * dilation - pad for size, dilation, pad in each]

    @cached_property
    def _middle(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the centre of the window at output position 0 lies, and the last place of the map."""
        half = np.multiply(np.subtract(self.size, 1), self.dilation) // 2
        return half - self.pad_before, np.subtract(self.map_size, 1)

    def seen(self, field: Field) -> Field:
        """From the first tap of the first window to the last tap of the last."""
        each = zip(field, self.size, self.stride, self.dilation, self.pad_before, strict=True)
        return tuple(
            (first * stride - pad, last * stride - pad + (size - 1) * dilation)
            for (first, last), size, stride, dilation, pad in each
        )

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """``position*stride - pad + ((size-1)*dilation)//2``, clipped to the map; int ``[n, axes]``."""
        if self.is_point:
            return positions
        offset, last = self._middle
        return np.minimum(np.maximum(positions * self.stride + offset, 0), last)


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """What the units of a convolution or a pool see through their windows."""
    return Window.of(step.layer, step.places(tensor)).seen(field)


def _per_axis(setting: Any, rank: int) -> tuple[int, ...]:
    return tuple(setting) if isinstance(setting, list | tuple) else (setting,) * rank


def _same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
    return total // 2
