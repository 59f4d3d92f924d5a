"""Receptive fields of neurons, interval by interval over the nodes of a functional model.

Written for the tests from the definition, sharing no code with the tracer.
"""

import keras
from twins.fixations import _dilation, _padding_before, _size, _strides, _topological

WINDOWS = (
    "Conv2D",
    "DepthwiseConv2D",
    "SeparableConv2D",
    "MaxPooling2D",
    "AveragePooling2D",
)


def receptive_field(model, tensor, row, column):
    """The rows and columns of the model's input that may reach a neuron along the trunk.

    A factor without places, such as the gate of a squeeze-and-excitation block, is no part of the trunk.

    Returns:
        ``((first row, last row), (first column, last column))``.
    """
    return _reached(model, tensor, ((row, row), (column, column)))


def _reached(model, tensor, field):
    fields = {id(tensor): field}
    for node in reversed(_topological([tensor])):
        output = node.outputs[0]
        if id(output) not in fields or not node.input_tensors:
            continue
        for below in node.input_tensors:
            if not _is_gate(below, output):
                field = _below(node.operation, fields[id(output)], below)
                known = fields.get(id(below), field)
                fields[id(below)] = tuple(
                    (min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(field, known, strict=True)
                )
    return fields[id(model.inputs[0])]


def _is_gate(below, output):
    return tuple(below.shape[1:3]) == (1, 1) and tuple(output.shape[1:3]) != (1, 1)


def _below(layer, field, tensor):
    sizes = tensor.shape[1:3]
    kind = type(layer).__name__
    if isinstance(layer, keras.Model):
        return _reached(layer, layer.outputs[0], field)
    if kind in WINDOWS:
        before = _padding_before(layer, (*sizes, 0))
        reached = [
            (first * stride - pad, last * stride - pad + (size - 1) * dilation)
            for (first, last), stride, pad, size, dilation in zip(
                field, _strides(layer), before, _size(layer), _dilation(layer), strict=True
            )
        ]
    elif kind == "ZeroPadding2D":
        reached = [(a - before, b - before) for (a, b), (before, _) in zip(field, layer.padding, strict=True)]
    elif kind == "Cropping2D":
        reached = [
            (a + before, b + before) for (a, b), (before, _) in zip(field, layer.cropping, strict=True)
        ]
    else:
        assert isinstance(layer, keras.Operation)
        assert len(tensor.shape) == 4, f"no receptive field through {kind}"
        reached = field
    return tuple(
        (min(max(a, 0), size - 1), min(max(b, 0), size - 1))
        for (a, b), size in zip(reached, sizes, strict=True)
    )


def maps_before(tensor):
    """The Keras tensors with height and width that lead to a tensor, in the order of the forward pass."""
    return [x for node in _topological([tensor]) for x in node.outputs if len(x.shape) == 4]
