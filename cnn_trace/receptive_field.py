"""Compute the exact receptive field of the units of any layer: the pixels of the input that they see.

Intervals of rows and columns are followed from the units back to the image, call by call over the flat graph.
Where paths join (residual additions, inception branches), the result is the smallest window that contains the
fields of all paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import keras
import numpy as np

from gazeback.cnn_trace.errors import MissingRule, TraceError
from gazeback.cnn_trace.graph import Call, Graph, Tensor
from gazeback.cnn_trace.layout import shape_last
from gazeback.cnn_trace.recording import Recording, shapes_of
from gazeback.cnn_trace.rules.geometry import ActsAlike, Field, Interval, SeesEverything, undefined
from gazeback.cnn_trace.rules.rule import Rule
from gazeback.cnn_trace.rules.table import rule_of
from gazeback.cnn_trace.step import Step
from gazeback.cnn_trace.tracer import tracer_of


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that the units of a layer see; all values are pairs (rows, columns) in pixels of the model's
    input.

    Attributes:
        size: the size of each unit's window.
        stride: the distance between the windows of neighbouring units; 0 if every unit sees the whole image.
        offset: the start of the window of unit (0, 0); negative if it begins outside the image.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    offset: tuple[int, int]

    def window(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The window (top, left, bottom, right) of the unit at (row, column).

        Bottom and right are exclusive, as in slices. The window may lie partly outside the image.
        """
        top, left = (
            int(offset + place * stride)
            for offset, place, stride in zip(self.offset, (row, column), self.stride, strict=True)
        )
        return top, left, top + self.size[0], left + self.size[1]


def receptive_field(
    model: keras.Model, layer: str, *, gates: bool = True, input_size: tuple[int, int] | None = None
) -> ReceptiveField:
    """Compute the receptive field of the units of a layer from the geometry of the layers; the model is not
    run.

    For dilated or widely strided layers, it is the smallest window that contains all pixels that a unit sees.

    Args:
        model: any built ``keras.Model``.
        layer: by its name, as for :func:`gazeback.cnn_trace.trace`.
        gates: whether inputs that act equally at all locations count. The factors of squeeze-and-excitation
            blocks and the statistics of group normalisations see the whole image, and so does every unit
            after them. Without them, the window contains what a unit sees at its own location.
        input_size: (height, width) of the image, for models without a fixed size.

    Raises:
        TraceError: there is no such layer, it does not depend on an image, or its units have no receptive
            field of one size: after layers that upsample, flip or mix locations. The message names the layer.
    """
    tracer = tracer_of(model)
    return field_of_tensor(tracer.graph, tracer.target(layer), gates=gates, input_size=input_size)


def field_of_tensor(
    graph: Graph, tensor: Tensor, *, gates: bool = True, input_size: tuple[int, int] | None = None
) -> ReceptiveField:
    """Compute the receptive field of a tensor of a flat model, as :func:`receptive_field` does for a
    layer."""
    walk = _Walk(graph, _shapes(graph, input_size), gates)
    found = walk.back(tensor)
    if found is None:
        height, width = walk.places(walk.image)
        return ReceptiveField((height, width), (0, 0), (0, 0))
    return _of_one_size(tensor.name, found, walk.enlarged_by)


def _of_one_size(layer: str, field: Field, enlarged_by: str | None) -> ReceptiveField:
    sizes, strides, offsets = [], [], []
    for first, last in field:
        size, stride = _sizes_and_strides((first, last))
        if len(size) > 1 or len(stride) > 1:
            raise TraceError(
                f"the units of layer {layer!r} see windows of different sizes, as {enlarged_by!r} enlarges "
                "the map: they have no receptive field of one size; choose a layer before it"
            )
        sizes.append(size.pop())
        strides.append(stride.pop())
        offsets.append(int(first[0]))
    return ReceptiveField(*(cast(tuple[int, int], tuple(pair)) for pair in (sizes, strides, offsets)))


def _sizes_and_strides(interval: Interval) -> tuple[set[int], set[int]]:
    first, last = interval
    return set((last - first + 1).tolist()), set(np.diff(first).tolist())


def _is_even(field: Field) -> bool:
    """Whether all units see windows of one size at equal distances."""
    return all(len(found) == 1 for interval in field for found in _sizes_and_strides(interval))


def _shapes(graph: Graph, input_size: tuple[int, int] | None) -> dict[Tensor, tuple[int, ...]]:
    """The shape of every tensor for one image; unknown sizes of other inputs, such as captions, are 1."""
    if not graph.image_inputs or len(graph.image_inputs[0].shape) != 4:
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
        """The part of the image that the units of a tensor see; None: everything."""
        if not self._sees(tensor) or self.image not in self.graph.inputs_of(tensor):
            raise TraceError(f"layer {tensor.name!r} does not depend on the image: it has no receptive field")
        if len(tensor.shape) == 2:
            return None
        if len(tensor.shape) != 4:
            raise TraceError(
                f"the units of layer {tensor.name!r}, of shape {list(tensor.shape)}, have no row and column: "
                "they have no receptive field"
            )
        # At least two locations, to see the stride.
        every = tuple((np.arange(max(side, 2)), np.arange(max(side, 2))) for side in self.places(tensor))
        fields: dict[Tensor, Field] = {tensor: every}
        try:
            for call in reversed(self.graph.ancestors([tensor])):
                for output in call.outputs:
                    if output in fields:
                        self._pass(Step(call, self._recording, output), fields)
        except SeesEverything:
            return None
        return fields[self.image]

    @property
    def _recording(self) -> Recording:
        """A recording without values, because geometry reads only shapes."""
        return Recording({}, self.shapes)

    def _sees(self, tensor: Tensor) -> bool:
        return tensor in self.graph.image_inputs if tensor.call is None else tensor.call.depends_on_image

    def _pass(self, step: Step, fields: dict[Tensor, Field]) -> None:
        """Propagate from a call's output to its inputs."""
        field = fields.pop(step.output)
        for tensor in filter(self._sees, dict.fromkeys(step.call.inputs)):
            below = self._below(step, tensor, field)
            if below is not None:
                fields[tensor] = _hull(fields[tensor], below) if tensor in fields else below

    def _below(self, step: Step, tensor: Tensor, field: Field) -> Field | None:
        """The part of one of a call's inputs that the units see; None: nothing that counts.

        Raises:
            TraceError: the part is not defined.
        """
        if len(tensor.shape) == 2 or len(step.output.shape) == 2:
            raise SeesEverything
        if len(tensor.shape) != 4 or len(step.output.shape) != 4:
            raise undefined(step, "gives up rows and columns")
        rule = _rule_of(step.call)
        if rule is None or rule.geometry is None:
            raise undefined(step, "is of a kind whose geometry is not known")
        try:
            below = rule.geometry(step, tensor, field)
        except ActsAlike as gate:
            if self.gates:
                raise SeesEverything from None
            return gate.in_place
        if self.enlarged_by is None and _is_even(field) and not _is_even(below):
            self.enlarged_by = step.call.name
        return below


def _rule_of(call: Call) -> Rule | None:
    try:
        return rule_of(call)
    except MissingRule:
        return None


def _hull(one: Field, other: Field) -> Field:
    return tuple((np.minimum(a[0], b[0]), np.maximum(a[1], b[1])) for a, b in zip(one, other, strict=True))
