"""The fan-in of convolution neurons: the elements of their windows, and the products ``a * w``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.linear import Linear, Stages
from gazeback.cnn_trace.step import Step

# Neurons are processed in chunks whose products fit into the processor's cache.
_CHUNK_VALUES = 1 << 17


class Fan:
    """The fan-in of some neurons of a convolution, also of grouped and depthwise ones.

    An input *element* is its flat index in the layer's input (batch axis included). A neuron sees ``taps``
    locations with ``width`` channels each, the channels of the group of its output channel. A depthwise
    convolution has groups of one channel.

    Args:
        linear: the layer.
        step: the call; its input is recorded unless only locations are needed.
        neurons: int ``[n, rank]``, coordinates on its output.
        sense: int8 ``[n]``.
    """

    def __init__(self, linear: Linear, step: Step, neurons: np.ndarray, sense: np.ndarray) -> None:
        self.linear, self.step, self.neurons, self.sense = linear, step, neurons, sense
        self.shape = step.shape(step.input)
        self.window, self.taps, self.filters = linear.window, linear.taps, linear.filters
        self.groups, self.width = linear.groups, linear.width
        self.group: np.ndarray | int = 0
        if self.groups > 1:
            self.group = neurons[:, -1] // (self.filters // self.groups)

    def take(self, neurons: slice | np.ndarray) -> Fan:
        """The fan-in of some of the neurons."""
        return type(self)(self.linear, self.step, self.neurons[neurons], self.sense[neurons])

    def __len__(self) -> int:
        return len(self.neurons)

    @cached_property
    def values(self) -> np.ndarray:
        """The layer's input, one row of ``width`` channels per location and group."""
        return self.step.value(self.step.input).reshape(-1, self.width)

    @cached_property
    def weights(self) -> np.ndarray:
        """The kernel, one row of ``width`` weights per tap and output channel, and a row of zeros."""
        return self.linear.rows

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of ``values`` and of ``weights`` whose products feed a neuron, each int ``[n, taps]``.

        The weight of padding is the row of zeros.
        """
        place, inside = self.window.elements(self.neurons[:, 1:-1])
        places = math.prod(self.window.map_size)
        values = self.neurons[:, :1] * places + place
        if self.groups > 1:
            values = values * self.groups + np.asarray(self.group)[:, None]
        weights = self.neurons[:, -1:]
        if self.taps == 1 and self.window.is_point:
            return values, weights
        weights = weights + np.arange(self.taps) * self.filters
        if self.window.padded and not inside.all():
            weights = np.where(inside, weights, self.taps * self.filters)
        return values, weights

    def parts(self) -> Iterator[slice]:
        """The neurons in chunks whose products stay in the cache."""
        size = max(1, _CHUNK_VALUES // (self.taps * self.width))
        return (slice(start, start + size) for start in range(0, len(self), size))

    def products(self, part: slice) -> np.ndarray:
        """The products ``a * w``, float32 ``[m, taps, width]``, without the sign of the neuron."""
        values, weights = self.rows
        found: np.ndarray = self.values.take(values[part], axis=0)
        found *= self.weights.take(weights[part], axis=0)
        return found

    def elements(self, part: slice) -> np.ndarray:
        """The input elements that the products are made of, int ``[m, taps, width]``."""
        values, _ = self.rows
        return values[part, :, None] * self.width + np.arange(self.width)

    def inside(self, part: slice) -> np.ndarray:
        """Which products are of an input and not of padding, bool ``[m, taps * width]``."""
        _, weights = self.rows
        return np.repeat(weights[part] != self.taps * self.filters, self.width, axis=1)

    def inputs(self, part: slice, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The input elements of some products, int ``[m]``, and their values.

        Args:
            part: a chunk of neurons.
            rows, columns: int ``[m]``, products of the chunk as ``[neurons, taps * width]``.
        """
        tap, channel = np.divmod(columns, self.width)
        place = self.rows[0][part][rows, tap]
        return place * self.width + channel, self.values[place, channel]

    def largest(self) -> np.ndarray:
        """The largest single product of each neuron, float32 ``[n]``."""
        found = np.zeros(len(self), np.float32)
        for part in self.parts():
            products = self.products(part)
            products *= self.sense[part, None, None]
            found[part] = products.max(axis=(1, 2))
        return found

    def sums(self, part: slice) -> np.ndarray:
        """The sum of ``a * w`` over the window for each channel, times the sign: float32 ``[m, width]``."""
        values, weights = self.rows
        if self.taps == 1:
            found = self.products(part)[:, 0]
        else:
            a, w = self.values.take(values[part], axis=0), self.weights.take(weights[part], axis=0)
            found = np.einsum("mtc,mtc->mc", a, w)
        if (self.sense[part] < 0).any():
            found *= self.sense[part, None]
        return found

    def strongest_channel(self) -> np.ndarray:
        """The channel with the largest sum, int ``[n]`` within the group."""
        if self.width == 1:
            return np.zeros(len(self), np.int64)
        found = [self.sums(part).argmax(axis=1) for part in self.parts()]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def centre(self, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The element in the middle of the window, in one channel of the group for each neuron.

        Returns:
            Its flat index int ``[n]`` and its coordinates ``[n, rank]``.
        """
        coordinates = np.empty((len(self), len(self.shape)), np.int64)
        coordinates[:, 0] = self.neurons[:, 0]
        coordinates[:, 1:-1] = self.window.centre(self.neurons[:, 1:-1])
        coordinates[:, -1] = self.input_channel(channel)
        flat = coordinates[:, 0]
        for axis in range(1, len(self.shape)):
            flat = flat * self.shape[axis] + coordinates[:, axis]
        return flat, coordinates

    def input_channel(self, channel: np.ndarray) -> np.ndarray:
        """The channel of the layer's input, for one channel of each neuron's group."""
        return self.group * self.width + channel if self.groups > 1 else channel

    def strongest_place(self, channel: np.ndarray) -> np.ndarray:
        """The element with the largest product in one channel of the group for each neuron, int ``[n]``.

        Padding is never chosen.
        """
        values, weights = self.rows
        products = self.values[values, channel[:, None]] * self.weights[weights, channel[:, None]]
        products *= self.sense[:, None]
        outside = weights == self.taps * self.filters
        products[outside] = -np.inf
        best = values[np.arange(len(self)), products.argmax(axis=1)] * self.width + channel
        fed = ~outside.all(axis=1)
        # If the stride of a transposed convolution exceeds its kernel, some neurons have no inputs.
        return best if fed.all() else np.where(fed, best, self.centre(channel)[0])

    def support(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Find the channels of the group that support each neuron, and the location of their largest support.

        Returns:
            bool ``[m, width]``, whether the sum of ``a * w`` over the window, times the sign, is positive;
            and int ``[m, width]``, the element of the channel's largest product.
        """
        values, weights = self.rows
        products = self.products(part)
        if (self.sense[part] < 0).any():
            products *= self.sense[part, None, None]
        positive = products.sum(axis=1) > 0
        products[weights[part] == self.taps * self.filters] = -np.inf  # padding is not on the map
        return positive, rows_of_largest(products, values[part]) * self.width + np.arange(self.width)


class SeparableFan(Fan):
    """The fan-in of a separable convolution's neurons, through each channel of the depthwise part.

    ``width`` is the number of depthwise outputs; each has one input channel.
    """

    def __init__(self, stages: Stages, step: Step, neurons: np.ndarray, sense: np.ndarray) -> None:
        super().__init__(stages[0], step, neurons, sense)
        self.stages = stages
        self.groups, self.group, self.width = 1, 0, stages[1].width
        self.multiplier = self.width // self.shape[-1]

    def take(self, neurons: slice | np.ndarray) -> SeparableFan:
        """The fan-in of some of the neurons."""
        return SeparableFan(self.stages, self.step, self.neurons[neurons], self.sense[neurons])

    @cached_property
    def values(self) -> np.ndarray:
        """The layer's input, one row of channels per location; each channel is repeated for its depthwise
        outputs."""
        rows = self.step.value(self.step.input).reshape(-1, self.shape[-1])
        return rows if self.multiplier == 1 else np.repeat(rows, self.multiplier, axis=1)

    @cached_property
    def depthwise(self) -> np.ndarray:
        """The depthwise weights, float32 ``[taps + 1, width]``; the last row is zero, for padding."""
        kernel = as_array(self.linear.kernel).reshape(self.taps, self.width)
        return np.concatenate([kernel, np.zeros((1, self.width), np.float32)])

    @cached_property
    def pointwise(self) -> np.ndarray:
        """The pointwise weights, float32 ``[filters, width]``."""
        return self.stages[1].rows[:-1]

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of ``values`` and of ``depthwise``, each int ``[n, taps]``."""
        place, inside = self.window.elements(self.neurons[:, 1:-1])
        values = self.neurons[:, :1] * math.prod(self.window.map_size) + place
        return values, np.where(inside, np.arange(self.taps), self.taps)

    def products(self, part: slice) -> np.ndarray:
        """The products ``a * w`` of the depthwise part times the pointwise weight, float32
        ``[m, taps, width]``."""
        values, weights = self.rows
        found = self.values.take(values[part], axis=0)
        found *= self.depthwise.take(weights[part], axis=0)
        found *= self.pointwise.take(self.neurons[part, -1], axis=0)[:, None]
        return found

    def elements(self, part: slice) -> np.ndarray:
        """The input elements that the products are made of, int ``[m, taps, width]``."""
        return self._of_input(super().elements(part))

    def inside(self, part: slice) -> np.ndarray:
        """As for any convolution."""
        return np.repeat(self.rows[1][part] != self.taps, self.width, axis=1)

    def inputs(self, part: slice, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As for any convolution."""
        elements, values = super().inputs(part, rows, columns)
        return self._of_input(elements), values

    def sums(self, part: slice) -> np.ndarray:
        """The products of the 1x1 part, times the sign: float32 ``[m, width]``."""
        values, weights = self.rows
        a, w = self.values.take(values[part], axis=0), self.depthwise.take(weights[part], axis=0)
        found = np.einsum("mtc,mtc->mc", a, w)
        found *= self.pointwise.take(self.neurons[part, -1], axis=0)
        found *= self.sense[part, None]
        return found

    def input_channel(self, channel: np.ndarray) -> np.ndarray:
        """The channel of the layer's input that a depthwise output is made from."""
        return channel // self.multiplier

    def strongest_place(self, channel: np.ndarray) -> np.ndarray:
        """The element with the largest ``a * w`` of the depthwise part, int ``[n]``.

        Below the 1x1 part the sign is positive again, as below any convolution.
        """
        values, weights = self.rows
        products = self.values[values, channel[:, None]] * self.depthwise[weights, channel[:, None]]
        products[weights == self.taps] = -np.inf
        best = values[np.arange(len(self)), products.argmax(axis=1)]
        return self._of_input(best * self.width + channel)

    def support(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Fan.support`, with the depthwise outputs as the channels (see ``strongest_place``)."""
        values, weights = self.rows
        products = self.values.take(values[part], axis=0)
        products *= self.depthwise.take(weights[part], axis=0)
        products[weights[part] == self.taps] = -np.inf
        elements = rows_of_largest(products, values[part]) * self.width + np.arange(self.width)
        return self.sums(part) > 0, self._of_input(elements)

    def _of_input(self, element: np.ndarray) -> np.ndarray:
        return element // self.multiplier


def fan_of(stages: Stages, step: Step, evidence: Evidence) -> Fan:
    """The fan-in of the neurons that carry evidence."""
    neurons = step, evidence.coordinates, evidence.sense
    return Fan(stages[0], *neurons) if len(stages) == 1 else SeparableFan(stages, *neurons)


def rows_of_largest(products: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Find, for each channel, the row of its largest product: products ``[m, taps, width]``, rows int
    ``[m, taps]``.

    Returns int ``[m, width]``; if products are equal, the first. It is faster than an argmax over the middle
    axis.
    """
    largest, found = products[:, 0].copy(), np.repeat(rows[:, :1], products.shape[-1], axis=1)
    for tap in range(1, products.shape[1]):
        np.copyto(found, rows[:, tap, None], where=products[:, tap] > largest)
        np.maximum(largest, products[:, tap], out=largest)
    return found
