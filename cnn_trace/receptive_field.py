"""The exact receptive field of the units of any layer: which pixels of the input they see.

From the units back to the image, call by call over the flat graph, as intervals of rows and of columns. Where
paths join (residual additions, inception branches), the smallest window that holds what all of them see.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.layout import shape_last
from gazeback.cnn_trace.recording import Recording, shapes_of
from gazeback.cnn_trace.rules import (
    activation,
    convolution,
    dense,
    gather,
    joining,
    merging,
    normalization,
    operators,
    pooling,
    powers,
    products,
    resampling,
    separable,
    shape,
    transposed,
)
from gazeback.cnn_trace.rules.table import find_rule
from gazeback.cnn_trace.rules.window import Window
from gazeback.cnn_trace.step import Step
from gazeback.cnn_trace.tracer import tracer_of


@dataclass(frozen=True)
class ReceptiveField:
    """Which pixels the units of a layer see; each a pair (rows, columns), in pixels of the model's input.

    Attributes:
        size: of the window that each unit sees.
        stride: from the window of one unit to that of the next; 0 where every unit sees the whole image.
        offset: where the window of unit (0, 0) begins, negative where it sticks out of the image.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    offset: tuple[int, int]

    def window(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the window of the unit at (row, column).

        It ends before bottom and right, as slices do, and may lie partly outside the image.
        """
        top, left = (
            int(offset + place * stride)
            for offset, place, stride in zip(self.offset, (row, column), self.stride, strict=True)
        )
        return top, left, top + self.size[0], left + self.size[1]


def receptive_field(
    model: keras.Model, layer: str, *, gates: bool = True, input_size: tuple[int, int] | None = None
) -> ReceptiveField:
    """The receptive field of the units of a layer, worked out from the layers' geometry; nothing is run.

    Of dilated or widely strided layers, it is the smallest window that holds all pixels that a unit sees.

    Args:
        model: any built ``keras.Model``.
        layer: by its name, as for :func:`gazeback.cnn_trace.trace`.
        gates: whether what acts alike at all places counts: the factors of squeeze-and-excitation blocks and
            the statistics of group normalisations see the whole image, and with them every unit behind.
            Without them, the window is that of what a unit sees at its place.
        input_size: (height, width) of the image, for models that leave it open.

    Raises:
        TraceError: there is no such layer, it does not depend on an image, or its units have no receptive
            field of one size: behind layers that enlarge, flip or mix places. The message names the layer.
    """
    tracer = tracer_of(model)
    return field_of_tensor(tracer.graph, tracer.target(layer), gates=gates, input_size=input_size)


def field_of_tensor(
    graph: Graph, tensor: Tensor, *, gates: bool = True, input_size: tuple[int, int] | None = None
) -> ReceptiveField:
    """As :func:`receptive_field`, for a tensor of a flat model."""
    walk = _Walk(graph, _shapes(graph, input_size), gates)
    found = walk.back(tensor)
    if found is None:
        height, width = walk.places(walk.image)
        return ReceptiveField((height, width), (0, 0), (0, 0))
    return _of_one_size(tensor.name, found, walk.enlarged_by)


# Where the units of some consecutive places look: for rows, then columns, the first and the last place of
# another tensor, int [places] each. Places beyond the map count on.
Interval = tuple[np.ndarray, np.ndarray]

Field = tuple[Interval, ...]


def _of_one_size(layer: str, field: Field, enlarged_by: str | None) -> ReceptiveField:
    sizes, strides, offsets = [], [], []
    for first, last in field:
        size, stride = set((last - first + 1).tolist()), set(np.diff(first).tolist())
        if len(size) > 1 or len(stride) > 1:
            raise TraceError(
                f"the units of layer {layer!r} see windows of different sizes, as {enlarged_by!r} enlarges "
                "the map: they have no receptive field of one size; choose a layer before it"
            )
        sizes.append(size.pop())
        strides.append(stride.pop())
        offsets.append(int(first[0]))
    return ReceptiveField(*(cast(tuple[int, int], tuple(pair)) for pair in (sizes, strides, offsets)))


def _shapes(graph: Graph, input_size: tuple[int, int] | None) -> dict[Tensor, tuple[int, ...]]:
    """The shape of every tensor for one image; other inputs of open sizes, such as captions, get size 1."""
    if not graph.image_inputs:
        raise TraceError(f"model {graph.name!r} has no image input [n, height, width, channels]")
    sizes = []
    for tensor in graph.inputs:
        known = list(tensor.shape[1:])
        if tensor in graph.image_inputs and None in known:
            if input_size is None:
                raise TraceError(
                    f"model {graph.name!r} leaves the size of its image open; give input_size=(height, width)"
                )
            first = 1 if tensor.channels_first else 0
            known[first : first + 2] = input_size
        sizes.append(tuple(side or 1 for side in known))
    return shapes_of(graph, tuple(sizes), 1)


class _Everything(Exception):
    """A unit sees the whole image."""


class _Walk:
    """The way back from the units of one layer to the image."""

    def __init__(self, graph: Graph, shapes: Mapping[Tensor, tuple[int, ...]], gates: bool) -> None:
        self.graph, self.shapes, self.gates = graph, dict(shapes), gates
        self.image = graph.image_inputs[0]
        self.enlarged_by: str | None = None

    def places(self, tensor: Tensor) -> tuple[int, ...]:
        """Height and width of a map."""
        return shape_last(tensor, self.shapes[tensor])[1:-1]

    def back(self, tensor: Tensor) -> Field | None:
        """Where on the image the units of a tensor look; None: everywhere."""
        if not self._sees(tensor) or self.image not in self.graph.inputs_of(tensor):
            raise TraceError(f"layer {tensor.name!r} does not depend on the image: it has no receptive field")
        if len(tensor.shape) == 2:
            return None
        if len(tensor.shape) != 4:
            raise TraceError(
                f"the units of layer {tensor.name!r}, of shape {list(tensor.shape)}, have no row and column: "
                "they have no receptive field"
            )
        # Two places at least, to see the stride.
        every = tuple((np.arange(max(side, 2)), np.arange(max(side, 2))) for side in self.places(tensor))
        fields: dict[Tensor, Field] = {tensor: every}
        try:
            for call in reversed(self.graph.ancestors([tensor])):
                for output in call.outputs:
                    if output in fields:
                        self._pass(Step(call, self._recording, output), fields)
        except _Everything:
            return None
        return fields[self.image]

    @property
    def _recording(self) -> Recording:
        """Of no values: geometry reads shapes only."""
        return Recording({}, {}, self.shapes)

    def _sees(self, tensor: Tensor) -> bool:
        return tensor in self.graph.image_inputs if tensor.call is None else tensor.call.depends_on_image

    def _pass(self, step: Step, fields: dict[Tensor, Field]) -> None:
        """From a call's output on to its inputs."""
        field = fields.pop(step.output)
        for tensor in filter(self._sees, dict.fromkeys(step.call.inputs)):
            below = self._below(step, tensor, field)
            if below is not None:
                fields[tensor] = _hull(fields[tensor], below) if tensor in fields else below

    def _below(self, step: Step, tensor: Tensor, field: Field) -> Field | None:
        """Where on one of a call's inputs the units look; None: nowhere that counts.

        Raises:
            TraceError: that is not defined.
        """
        if len(tensor.shape) == 2 or len(step.output.shape) == 2:
            raise _Everything
        if len(tensor.shape) != 4 or len(step.output.shape) != 4:
            raise _undefined(step, "gives up rows and columns")
        kind = _kind_of(step)
        if self._is_gate(step, tensor, kind):
            if self.gates:
                raise _Everything
            return None
        if kind is resampling.walk or kind is transposed.walk:
            self.enlarged_by = step.call.name
        if kind in _IN_PLACE:
            if self.gates and _mixes_places(step):
                raise _Everything
            if self.places(tensor) != self.places(step.output):
                raise _undefined(step, "joins maps along their height or width")
            return field
        if kind not in _GEOMETRY:
            raise _undefined(step, "is of a kind whose geometry is not known")
        return _GEOMETRY[kind](step, field)

    def _is_gate(self, step: Step, tensor: Tensor, kind: Any) -> bool:
        """Whether an input has one place only and acts on all places of the output."""
        alike = set(self.places(tensor)) == {1} and set(self.places(step.output)) != {1}
        return alike and (kind in _IN_PLACE or kind is resampling.walk)


def _undefined(step: Step, why: str) -> TraceError:
    kind = type(step.call.operation).__name__
    return TraceError(
        f"layer {step.call.name!r} of class {kind} {why}: the units behind it have no receptive field; "
        "choose a layer before it"
    )


def _hull(one: Field, other: Field) -> Field:
    return tuple((np.minimum(a[0], b[0]), np.maximum(a[1], b[1])) for a, b in zip(one, other, strict=True))


def _kind_of(step: Step) -> Any:
    """The family that the tracer's rule table puts a call in."""
    if step.call.part == "activation":
        return activation.walk
    rule = find_rule(step.call.operation)
    return None if rule is None or rule.walk is None else inspect.unwrap(rule.walk)


_IN_PLACE = (
    activation.walk,
    activation.walk_transparent,
    powers.walk,
    powers.walk_power,
    products.walk,
    products.walk_divide,
    merging.walk_add,
    merging.walk_extreme,
    merging.walk_subtract,
    merging.walk_negative,
    joining.walk_concatenate,
    joining.walk_where,
    normalization.walk_batch,
    normalization.walk_layer,
    normalization.walk_group,
    normalization.walk_root_mean_square,
    normalization.walk_rescaling,
    dense.walk,
)

_NORMALISING = (
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "Normalize",
    "Softmax",
    "LogSoftmax",
)


def _mixes_places(step: Step) -> bool:
    """Whether an operation divides by something that it takes from all places."""
    kind = type(step.call.operation).__name__
    if step.call.part == "activation" or kind not in _NORMALISING:
        return kind == "GroupNormalization"
    axis = getattr(step.layer, "axis", -1)
    rank = len(step.input.shape)
    axes = [a % rank for a in (axis if isinstance(axis, list | tuple) else [axis])]
    return axes != [1 if step.input.channels_first else rank - 1]


def _window(step: Step, field: Field) -> Field:
    """Convolutions and pools: the first tap of the first window to the last tap of the last."""
    layer = _LAYER_OF.get(type(step.call.operation).__name__, _itself)(step)
    window = Window.of(layer, shape_last(step.input, step.shape(step.input))[1:-1])
    return tuple(
        (first * stride - pad, last * stride - pad + (size - 1) * dilation)
        for (first, last), stride, pad, size, dilation in zip(
            field, window.stride, window.pad_before, window.size, window.dilation, strict=True
        )
    )


def _itself(step: Step) -> Any:
    return step.layer


_LAYER_OF: dict[str, Callable[[Step], Any]] = {
    "Conv": operators.convolution,
    "DepthwiseConv": operators.depthwise,
    "MaxPool": operators.pool,
    "AveragePool": operators.pool,
}


def _transposed(step: Step, field: Field) -> Field:
    """Place p is fed by every place y and tap t with ``p = y * stride - pad + t * dilation``."""
    window = Window.of(step.layer, shape_last(step.output, step.shape(step.output))[1:-1])
    found = []
    for axis, (first, last) in enumerate(field):
        size, stride, dilation = window.size[axis], window.stride[axis], window.dilation[axis]
        if stride > size or (stride > 1 and dilation > 1):
            raise _undefined(step, "leaves places between its taps empty")
        pad = window.pad_before[axis]
        found.append((-(-(first + pad - (size - 1) * dilation) // stride), (last + pad) // stride))
    return tuple(found)


def _enlarged(step: Step, field: Field) -> Field:
    """Upsampling by repetition, and cropping to the centre."""
    inner, outer = (shape_last(t, step.shape(t))[1:-1] for t in (step.input, step.output))
    kind = type(step.call.operation).__name__
    if kind == "CenterCrop" and all(a <= b for a, b in zip(outer, inner, strict=True)):
        return _shifted(field, [(b - a) // 2 for a, b in zip(outer, inner, strict=True)])
    if kind.startswith("UpSampling") and step.layer.interpolation == "nearest":
        return tuple(
            (first // (a // b), last // (a // b))
            for (first, last), a, b in zip(field, outer, inner, strict=True)
        )
    raise _undefined(step, "mixes places by interpolation")


def _padded(step: Step, field: Field) -> Field:
    return _shifted(field, [-before for before, _ in step.layer.padding])


def _cropped(step: Step, field: Field) -> Field:
    return _shifted(field, [before for before, _ in step.layer.cropping])


def _padded_by_operator(step: Step, field: Field) -> Field:
    if step.layer.mode != "constant":
        raise _undefined(step, "repeats places")
    sides = list(step.layer.pad_width)
    sides = sides * 4 if len(sides) == 1 else sides
    first = 2 if step.input.channels_first else 1
    return _shifted(field, [-before for before, _ in sides[first : first + 2]])


def _shifted(field: Field, by: list[int]) -> Field:
    return tuple((first + shift, last + shift) for (first, last), shift in zip(field, by, strict=True))


def _reshaped(step: Step, field: Field) -> Field:
    if step.shape(step.input) != step.shape(step.output):
        raise _undefined(step, "rearranges places")
    return field


def _reduced(step: Step, field: Field) -> Field:
    """Global pools see everything; what reduces channels only stays in place."""
    if not hasattr(step.layer, "axis"):
        raise _Everything
    first = 2 if step.input.channels_first else 1
    reduced = set(pooling.named_axes(step)).intersection((first, first + 1))
    if len(reduced) == 1:
        raise _undefined(step, "reduces one of height and width")
    if reduced:
        raise _Everything
    return field


def _moved(step: Step, field: Field) -> Field:
    """Slices, splits and the like: where each place was taken from, at even steps."""
    shape = step.shape(step.input)[1:]
    taken = np.stack(np.unravel_index(gather.source(step), shape))
    first = 1 if step.input.channels_first else 0
    found = []
    for axis, (low, high) in zip((first, first + 1), field, strict=True):
        by_place = np.moveaxis(taken[axis], axis, 0).reshape(taken.shape[1 + axis], -1)
        starts, ends = by_place.min(axis=1), by_place.max(axis=1)
        steps = set(np.diff(starts).tolist()) | set(np.diff(ends).tolist()) or {1}
        if len(steps) > 1 or min(steps) < 1:
            raise _undefined(step, "moves places about")
        stride = steps.pop()
        found.append((low * stride + starts[0], high * stride + ends[0]))
    return tuple(found)


_GEOMETRY: dict[Any, Callable[[Step, Field], Field]] = {
    convolution.walk: _window,
    separable.walk: _window,
    pooling.walk: _window,
    transposed.walk: _transposed,
    resampling.walk: _enlarged,
    shape.walk_pad: _padded,
    shape.walk_crop: _cropped,
    shape.walk_pad_operator: _padded_by_operator,
    shape.walk_reshape: _reshaped,
    pooling.walk_global: _reduced,
    pooling.walk_reduction: _reduced,
    gather.walk: _moved,
}
