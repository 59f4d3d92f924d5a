"""A slow, literal twin of the walk: one neuron at a time, plain loops, from the words of *CNN Fixations*.

It reads the nodes of a functional Keras model by itself and shares no code with the tracer. A neuron is
``(coordinates without the batch axis, sense)``; found neurons are kept in a dict with their weights.
"""

import itertools
import math

import keras
import numpy as np

MOVES_NOTHING = [
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "Softmax",
    "Dropout",
    "SpatialDropout2D",
    "GaussianNoise",
    "Identity",
    "Relu",
    "Relu6",
    "Tanh",
    "Sigmoid",
    "Silu",
]


class Twin:
    """The walk over one image of a functional model."""

    def __init__(self, model, image, *, location="same", fc_to_spatial="argmax", once=True):
        self.location, self.fc_to_spatial, self.once = location, fc_to_spatial, once
        self.nodes = _topological(model.outputs)
        self.inputs = [x for node in self.nodes if not node.input_tensors for x in node.outputs]
        tensors = [x for node in self.nodes for x in node.outputs]
        results = keras.Model(model.inputs, tensors)([np.asarray(image)[None]], training=False)
        self.values = {id(t): np.asarray(v)[0] for t, v in zip(tensors, results, strict=True)}
        self.shapes = {t: v.shape for t, v in self.values.items()}

    def walk(self, start):
        """``{tensor: {neuron: weight}}`` -> ``{id(tensor): {neuron: weight}}`` for all tensors reached."""
        found = {id(tensor): dict(neurons) for tensor, neurons in start.items()}
        for node in reversed(self.nodes):
            output = node.outputs[0]
            if id(output) not in found or not node.input_tensors:
                continue
            for neuron, weight in found[id(output)].items():
                for tensor, contributors in self.back(node, *neuron):
                    place = found.setdefault(id(tensor), {})
                    for contributor, share in contributors:
                        if self.once:
                            place[contributor] = 1.0
                        else:
                            place[contributor] = place.get(contributor, 0.0) + weight * share
        return found

    def at(self, found, layer):
        """``{coordinates: weight}`` at a layer's last call that was reached."""
        for node in reversed(self.nodes):
            if node.operation.name == layer and id(node.outputs[0]) in found:
                return _merged(found[id(node.outputs[0])])
        return {}

    def points(self, found):
        """``{(row, column): weight}`` on the image, merged over channels."""
        merged = {}
        for (row, column, _), weight in _merged(found.get(id(self.inputs[0]), {})).items():
            merged[row, column] = merged.get((row, column), 0.0) + weight
        return merged

    def back(self, node, neuron, sense):
        """``[(input tensor, [(neuron, share), ...]), ...]``: where one neuron of a node's output goes on."""
        kind = type(node.operation).__name__
        below = node.input_tensors[0]
        if kind in MOVES_NOTHING:
            return [(below, [((neuron, sense), 1.0)])]
        return getattr(self, "_" + kind)(node, below, neuron, sense)

    # Layers with a kernel: they choose by products, and a negative sense ends here.

    def _Conv2D(self, node, below, neuron, sense):
        layer, a = node.operation, self.values[id(below)]
        row, column, out = neuron
        kernel = np.asarray(layer.kernel)
        kh, kw, per_group, filters = kernel.shape
        group = out // (filters // layer.groups)
        best_channel, best_sum = None, -math.inf
        for c in range(per_group):
            total = 0.0
            for i, j in itertools.product(range(kh), range(kw)):
                y, x = self._place(layer, a, row, column, i, j)
                if 0 <= y < a.shape[0] and 0 <= x < a.shape[1]:
                    total += float(a[y, x, group * per_group + c]) * float(kernel[i, j, c, out])
            if sense * total > best_sum:
                best_channel, best_sum = c, sense * total
        channel = group * per_group + best_channel
        weights = kernel[:, :, best_channel, out]
        place = self._location(layer, a, row, column, channel, weights, sense)
        return [(below, [(((*place, channel), 1), 1.0)])]

    def _DepthwiseConv2D(self, node, below, neuron, sense):
        layer, a = node.operation, self.values[id(below)]
        row, column, out = neuron
        channel, multiple = divmod(out, layer.depth_multiplier)
        weights = np.asarray(layer.kernel)[:, :, channel, multiple]
        place = self._location(layer, a, row, column, channel, weights, sense)
        return [(below, [(((*place, channel), 1), 1.0)])]

    def _location(self, layer, a, row, column, channel, weights, sense):
        if self.location == "same":
            return _centre(layer, a.shape, row, column)
        best, place = -math.inf, None
        for i, j in itertools.product(*map(range, weights.shape)):
            y, x = self._place(layer, a, row, column, i, j)
            if 0 <= y < a.shape[0] and 0 <= x < a.shape[1]:
                product = sense * float(a[y, x, channel]) * float(weights[i, j])
                if product > best:
                    best, place = product, (y, x)
        return place

    @staticmethod
    def _place(layer, a, row, column, i, j):
        (top, left), (sy, sx), (dy, dx) = _padding_before(layer, a.shape), _strides(layer), _dilation(layer)
        return row * sy - top + i * dy, column * sx - left + j * dx

    def _Dense(self, node, below, neuron, sense):
        *vector, out = neuron
        a = self.values[id(below)][tuple(vector)]
        w = np.asarray(node.operation.kernel)[:, out]
        products = {j: sense * float(a[j]) * float(w[j]) for j in range(len(a))}
        if self._is_flattened_map(below) and self.fc_to_spatial == "argmax":
            j = max(products, key=lambda j: (products[j], -j))
            products = {j: products[j]}
        kept = {j: p for j, p in products.items() if p > 0}
        total = sum(kept.values())
        return [(below, [(((*vector, j), 1), p / total) for j, p in kept.items()])]

    def _is_flattened_map(self, tensor):
        node = _node(tensor)
        while type(node.operation).__name__ in (*MOVES_NOTHING, "BatchNormalization"):
            node = _node(node.input_tensors[0])
        if type(node.operation).__name__ not in ("Flatten", "Reshape"):
            return False
        above = self.shapes[id(node.input_tensors[0])]
        return len(above) == 3 and above[0] * above[1] > 1

    # Layers that choose by value.

    def _MaxPooling2D(self, node, below, neuron, sense):
        a, layer = self.values[id(below)], node.operation
        row, column, channel = neuron
        best, place = -math.inf, None
        for i, j in itertools.product(*map(range, layer.pool_size)):
            y, x = self._place(layer, a, row, column, i, j)
            if 0 <= y < a.shape[0] and 0 <= x < a.shape[1] and a[y, x, channel] > best:
                best, place = a[y, x, channel], (y, x)
        return [(below, [(((*place, channel), sense), 1.0)])]

    _AveragePooling2D = _MaxPooling2D

    def _GlobalAveragePooling2D(self, node, below, neuron, sense):
        a, channel = self.values[id(below)], neuron[-1]
        best, place = -math.inf, None
        for y, x in itertools.product(range(a.shape[0]), range(a.shape[1])):
            if a[y, x, channel] > best:
                best, place = a[y, x, channel], (y, x)
        return [(below, [(((*place, channel), sense), 1.0)])]

    _GlobalMaxPooling2D = _GlobalAveragePooling2D
    _Mean = _GlobalAveragePooling2D  # the test nets take means and maxima over (1, 2)
    _Max = _GlobalAveragePooling2D

    def _Add(self, node, below, neuron, sense):
        best, branch = -math.inf, None
        for tensor in node.input_tensors:
            value = sense * self.values[id(tensor)][_unbroadcast(neuron, self.shapes[id(tensor)])]
            if value > best:
                best, branch = value, tensor
        place = _unbroadcast(neuron, self.shapes[id(branch)])
        return [(branch, [((place, sense), 1.0)])]

    def _Subtract(self, node, below, neuron, sense):
        first, second = node.arguments.args[:2] if len(node.arguments.args) > 1 else node.input_tensors
        tensors = [(t, sign) for t, sign in ((first, 1), (second, -1)) if isinstance(t, keras.KerasTensor)]
        best, chosen = -math.inf, None
        for tensor, sign in tensors:
            value = sense * sign * self.values[id(tensor)][neuron]
            if value > best:
                best, chosen = value, (tensor, sign)
        return [(chosen[0], [((neuron, sense * chosen[1]), 1.0)])]

    # Layers that only scale or move.

    def _Negative(self, node, below, neuron, sense):
        return [(below, [((neuron, -sense), 1.0)])]

    def _Multiply(self, node, below, neuron, sense):
        factor = next(x for x in node.arguments.args[:2] if not isinstance(x, keras.KerasTensor))
        factor = np.broadcast_to(np.asarray(factor), self.shapes[id(below)])[neuron]
        return [(below, [((neuron, sense if factor >= 0 else -sense), 1.0)])]

    _TrueDivide = _Divide = _Multiply

    def _Rescaling(self, node, below, neuron, sense):
        scale = np.broadcast_to(node.operation.scale, self.shapes[id(below)])[neuron]
        return [(below, [((neuron, sense if scale >= 0 else -sense), 1.0)])]

    def _BatchNormalization(self, node, below, neuron, sense):
        gamma = np.asarray(node.operation.gamma)[neuron[-1]]
        return [(below, [((neuron, sense if gamma >= 0 else -sense), 1.0)])]

    def _Concatenate(self, node, below, neuron, sense):
        axis = node.operation.axis % (len(neuron) + 1) - 1
        start = 0
        for tensor in node.input_tensors:
            length = self.shapes[id(tensor)][axis]
            if start <= neuron[axis] < start + length:
                moved = list(neuron)
                moved[axis] -= start
                return [(tensor, [((tuple(moved), sense), 1.0)])]
            start += length
        raise AssertionError

    def _Flatten(self, node, below, neuron, sense):
        flat = 0
        for size, index in zip(self.shapes[id(node.outputs[0])], neuron, strict=True):
            flat = flat * size + index
        moved = []
        for size in reversed(self.shapes[id(below)]):
            flat, index = divmod(flat, size)
            moved.insert(0, index)
        return [(below, [((tuple(moved), sense), 1.0)])]

    _Reshape = _ExpandDims = _Squeeze = _Flatten

    def _ZeroPadding2D(self, node, below, neuron, sense):
        (top, _), (left, _) = node.operation.padding
        height, width, _ = self.shapes[id(below)]
        row, column = neuron[0] - top, neuron[1] - left
        place = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        return [(below, [(((*place, neuron[2]), sense), 1.0)])]

    def _Cropping2D(self, node, below, neuron, sense):
        (top, _), (left, _) = node.operation.cropping
        return [(below, [(((neuron[0] + top, neuron[1] + left, neuron[2]), sense), 1.0)])]

    def _UpSampling2D(self, node, below, neuron, sense):
        sy, sx = node.operation.size
        return [(below, [(((neuron[0] // sy, neuron[1] // sx, neuron[2]), sense), 1.0)])]

    def _Permute(self, node, below, neuron, sense):
        moved = [0] * len(neuron)
        for axis, source in enumerate(node.operation.dims):
            moved[source - 1] = neuron[axis]
        return [(below, [((tuple(moved), sense), 1.0)])]


def _strides(layer):
    return layer.strides


def _size(layer):
    return layer.pool_size if hasattr(layer, "pool_size") else layer.kernel_size


def _dilation(layer):
    return getattr(layer, "dilation_rate", (1, 1))


def _padding_before(layer, shape):
    """TensorFlow's SAME padding: ``max((ceil(n / stride) - 1) * stride + window - n, 0) // 2`` in front."""
    if layer.padding == "valid":
        return 0, 0
    before = []
    for n, size, stride, dilation in zip(
        shape, _size(layer), _strides(layer), _dilation(layer), strict=False
    ):
        window = (size - 1) * dilation + 1
        before.append(max((math.ceil(n / stride) - 1) * stride + window - n, 0) // 2)
    return tuple(before)


def _centre(layer, shape, row, column):
    """``position*stride - pad_before + ((kernel-1)*dilation)//2``, clipped to the map."""
    place = []
    for n, p, pad, size, stride, dilation in zip(
        shape,
        (row, column),
        _padding_before(layer, shape),
        _size(layer),
        _strides(layer),
        _dilation(layer),
        strict=False,
    ):
        place.append(min(max(p * stride - pad + ((size - 1) * dilation) // 2, 0), n - 1))
    return tuple(place)


def _unbroadcast(neuron, shape):
    return tuple(0 if size == 1 else index for index, size in zip(neuron, shape, strict=True))


def _merged(neurons):
    merged = {}
    for (coordinates, _), weight in neurons.items():
        merged[coordinates] = merged.get(coordinates, 0.0) + weight
    return merged


def _node(tensor):
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _topological(outputs):
    order, seen = [], set()

    def visit(node):
        if id(node) in seen:
            return
        seen.add(id(node))
        for tensor in node.input_tensors:
            visit(_node(tensor))
        order.append(node)

    for tensor in outputs:
        visit(_node(tensor))
    return order
