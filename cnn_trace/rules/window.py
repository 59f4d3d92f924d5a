"""Sliding windows: the locations of a map that a neuron of a convolution or a pool sees, in any dimension."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from gazeback.cnn_trace.rules.geometry import Field

Slices = tuple[slice, ...]

_windows: WeakKeyDictionary[Any, dict[tuple[int, ...], Window]] = WeakKeyDictionary()


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

    @cached_property
    def taps(self) -> int:
        """The number of locations in a window."""
        return math.prod(self.size)

    @classmethod
    def of(cls, layer: Any, map_size: tuple[int, ...]) -> Window:
        """The window of a convolution or pooling layer on a map of this size."""
        known = _windows.setdefault(layer, {})
        if map_size not in known:
            known[map_size] = _window_of(layer, map_size)
        return known[map_size]

    @classmethod
    def point(cls, map_size: tuple[int, ...]) -> Window:
        """The window of a dense layer: every location sees the same location of the map."""
        one, zero = (1,) * len(map_size), (0,) * len(map_size)
        return cls(one, one, one, zero, map_size, padded=False)

    def connections(self, positions: tuple[int, ...]) -> Iterator[tuple[Slices, Slices]]:
        """For each tap of the window, the locations of the output, and the locations of the map that they see
        through it.

        Args:
            positions: the size of the output.

        Returns:
            Slices of tensors ``[n, ..., channels]``, first of the output, then of the input. Padding is left
            out.
        """
        for tap in np.ndindex(*self.size):
            shifts = np.multiply(tap, self.dilation) - self.pad_before
            pairs = list(map(_overlap, shifts.tolist(), self.stride, positions, self.map_size))
            yield (slice(None), *(p for p, _ in pairs)), (slice(None), *(i for _, i in pairs))

    def elements(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the elements of the map under the windows of some output locations.

        Args:
            positions: int ``[n, axes]``.

        Returns:
            int ``[n, taps]``, flat indices of the map (padding: the nearest element), and bool ``[n, taps]``:
            False for padding.
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
        """Whether every location sees only the same location of the map."""
        return {*self.size, *self.stride} <= {1}

    @cached_property
    def _offsets(self) -> list[np.ndarray]:
        """For each axis, the positions of the taps of the window at output location 0, in elements of the
        map."""
        each = zip(self.size, self.dilation, self.pad_before, strict=True)
        return [np.arange(size) * dilation - pad for size, dilation, pad in each]

    @cached_property
    def _middle(self) -> tuple[np.ndarray, np.ndarray]:
        """The centre of the window at output location 0, and the last location of the map."""
        half = np.multiply(np.subtract(self.size, 1), self.dilation) // 2
        return half - self.pad_before, np.subtract(self.map_size, 1)

    def seen(self, field: Field) -> Field:
        """The interval from the first tap of the first window to the last tap of the last."""
        each = zip(field, self.size, self.stride, self.dilation, self.pad_before, strict=True)
        return tuple(
            (first * stride - pad, last * stride - pad + (size - 1) * dilation)
            for (first, last), size, stride, dilation, pad in each
        )

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """The centre ``position*stride - pad + ((size-1)*dilation)//2``, clipped to the map; int
        ``[n, axes]``."""
        if self.is_point:
            return positions
        offset, last = self._middle
        return np.minimum(np.maximum(positions * self.stride + offset, 0), last)


@dataclass(frozen=True)
class TransposedWindow(Window):
    """The input locations that feed the outputs of a transposed convolution: :class:`Window`, inverted."""

    @classmethod
    def of_maps(cls, layer: Any, inner: tuple[int, ...], outer: tuple[int, ...]) -> TransposedWindow:
        """The window of a layer from one map to another, padded like the convolution that it transposes."""
        backward = Window.of(layer, outer)
        return cls(backward.size, backward.stride, backward.dilation, backward.pad_before, inner)

    def connections(self, positions: tuple[int, ...]) -> Iterator[tuple[Slices, Slices]]:
        """As :meth:`Window.connections`."""
        backward = Window(self.size, self.stride, self.dilation, self.pad_before, positions)
        return ((seen, seeing) for seeing, seen in backward.connections(self.map_size))

    @property
    def has_gaps(self) -> bool:
        """Whether the locations that feed a position are not neighbours."""
        each = zip(self.size, self.stride, self.dilation, strict=True)
        return any(stride > size or (stride > 1 and dilation > 1) for size, stride, dilation in each)

    def elements(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Window.elements`: flat indices ``[n, taps]``, and whether a location has its tap
        there."""
        flat = np.zeros((len(positions), 1), np.int64)
        inside = np.ones((len(positions), 1), bool)
        for axis, length in enumerate(self.map_size):
            taps = np.arange(self.size[axis]) * self.dilation[axis] - self.pad_before[axis]
            place, rest = np.divmod(positions[:, axis, None] - taps, self.stride[axis])
            within = (rest == 0) & (place >= 0) & (place < length)
            np.clip(place, 0, length - 1, out=place)
            flat = (flat[:, :, None] * length + place[:, None]).reshape(len(positions), -1)
            inside = (inside[:, :, None] & within[:, None]).reshape(len(positions), -1)
        return flat, inside

    def seen(self, field: Field) -> Field:
        """The interval from the first input location that feeds the first position to the last that feeds the
        last."""
        each = zip(field, self.size, self.stride, self.dilation, self.pad_before, strict=True)
        return tuple(
            (-((first + pad - (size - 1) * dilation) // -stride), (last + pad) // stride)
            for (first, last), size, stride, dilation, pad in each
        )

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """The input location nearest to the middle of all that may feed a position, int ``[n, axes]``."""
        doubled = 2 * (positions + self.pad_before) - np.multiply(np.subtract(self.size, 1), self.dilation)
        nearest = (doubled + self.stride) // np.multiply(2, self.stride)
        return np.clip(nearest, 0, np.subtract(self.map_size, 1))


def _overlap(shift: int, stride: int, positions: int, places: int) -> tuple[slice, slice]:
    """Along one axis: the positions whose location ``position * stride + shift`` is on the map, and these
    locations."""
    first = max(0, -(shift // stride))
    last = min(positions - 1, (places - 1 - shift) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + shift, last * stride + shift + 1, stride)


def _window_of(layer: Any, map_size: tuple[int, ...]) -> Window:
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
    return Window(size, stride, dilation, pad, map_size, layer.padding != "valid")


def _per_axis(setting: Any, rank: int) -> tuple[int, ...]:
    return tuple(setting) if isinstance(setting, list | tuple) else (setting,) * rank


def _same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
    return total // 2
