"""A slow, literal twin of the walk: one neuron at a time, plain loops, from the words of *CNN Fixations*.

It reads the nodes of a functional Keras model by itself and shares no code with the tracer. A neuron is
``(coordinates without the batch axis, sense)``; found neurons are kept in a dict with their weights.
"""

import itertools
import math
from types import SimpleNamespace

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
    "SpatialDropout1D",
    "SpatialDropout3D",
    "UnitNormalization",
    "Normalize",
    "Masking",
    "Cast",
    "StopGradient",
    "Exp",
    "Log",
    "Log1p",
    "Sqrt",
    "Clip",
]
BY_SLOPE = ["Square", "Absolute", "Power", "Reciprocal", "Rsqrt"]
BY_VALUE = [
    "GetItem",
    "Split",
    "Unstack",
    "Flip",
    "Roll",
    "Repeat",
    "Tile",
    "Take",
    "Swapaxes",
    "Moveaxis",
    "Transpose",
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
        steps = [(node, output) for node in reversed(self.nodes) for output in node.outputs]
        for node, output in steps:
            if id(output) not in found or not node.input_tensors:
                continue
            self.output = output
            for neuron, weight in found[id(output)].items():
                for tensor, contributors in self.back(node, *neuron):
                    place = found.setdefault(id(tensor), {})
                    for contributor, share in contributors:
                        if self.once:
                            place[contributor] = 1.0
                        else:
                            place[contributor] = place.get(contributor, 0.0) + weight * share
        return found

    def at(self, found, node):
        """``{coordinates: weight}`` at the output of a call; none where the walk did not reach it."""
        return _merged(found.get(id(node.outputs[0]), {}))

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
        if kind in BY_VALUE:
            return self._by_value(below, neuron, sense)
        if kind in BY_SLOPE:
            return self._by_slope(node, below, neuron, sense)
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
        if len(vector) == 2 and self.shapes[id(below)][:2] != (1, 1):  # on a map: a 1x1 convolution
            channel = max(range(len(a)), key=lambda c: (sense * float(a[c]) * float(w[c]), -c))
            return [(below, [(((*vector, channel), 1), 1.0)])]
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

    def _EinsumDense(self, node, below, neuron, sense):
        operation = node.operation
        if operation.equation == "abcd,de->abce":
            return self._Dense(node, below, neuron, sense)
        return self._contraction(operation.equation, [below, np.asarray(operation.kernel)], neuron, sense)

    def _Einsum(self, node, below, neuron, sense):
        return self._contraction(node.operation.subscripts, node.arguments.args, neuron, sense)

    def _contraction(self, equation, operands, neuron, sense):
        """Weights: every positive term. Tensors: the largest term, and there the larger factor.

        What a softmax made is followed only if everything is.
        """
        letters, output = equation.split("->")
        letters = letters.split(",")
        tensors = [isinstance(x, keras.KerasTensor) for x in operands]
        values = [self.values[id(x)][None] if t else x for x, t in zip(operands, tensors, strict=True)]
        size = {c: n for c, x in zip(letters, values, strict=True) for c, n in zip(c, x.shape, strict=True)}
        summed = [c for c in size if c not in output]
        terms = []
        for index in itertools.product(*(range(size[c]) for c in summed)):
            at = dict(zip(output, (0, *neuron), strict=True)) | dict(zip(summed, index, strict=True))
            places = [tuple(at[c] for c in axes) for axes in letters]
            factors = [float(x[place]) for x, place in zip(values, places, strict=True)]
            terms.append((sense * math.prod(factors), factors, places))
        if sum(tensors) == 1:
            i = tensors.index(True)
            return [(operands[i], [((places[i][1:], 1), 1.0) for term, _, places in terms if term > 0])]
        _, factors, places = max(terms, key=lambda term: term[0])
        trunk = [i for i, t in enumerate(tensors) if t and not _is_softmax(operands[i])]
        trunk = trunk or [i for i, t in enumerate(tensors) if t]
        i = max(trunk, key=lambda i: abs(factors[i]))
        sign = math.prod(f for j, f in enumerate(factors) if j != i)
        return [(operands[i], [((places[i][1:], sense if sign >= 0 else -sense), 1.0)])]

    def _Conv2DTranspose(self, node, below, neuron, sense):
        layer, a = node.operation, self.values[id(below)]
        *position, out = neuron
        kernel = np.asarray(layer.kernel)
        pad = _padding_before(layer, self.shapes[id(self.output)])
        feeding = []  # (input place, tap) with place * stride - pad + tap * dilation == position
        for place in itertools.product(*map(range, a.shape[:-1])):
            for tap in itertools.product(*map(range, kernel.shape[:-2])):
                lands = [
                    y * s - p + t * d
                    for y, s, p, t, d in zip(place, layer.strides, pad, tap, layer.dilation_rate, strict=True)
                ]
                if lands == position:
                    feeding.append((place, tap))
        sums = [
            sense * sum(float(a[(*y, c)]) * float(kernel[(*t, out, c)]) for y, t in feeding)
            for c in range(a.shape[-1])
        ]
        channel = int(np.argmax(sums))
        place = self._nearest_input(layer, a.shape, position, pad)
        if self.location == "argmax" and feeding:
            products = [
                (sense * float(a[(*y, channel)]) * float(kernel[(*t, out, channel)]), y) for y, t in feeding
            ]
            best = max(product for product, _ in products)
            place = next(y for product, y in products if product == best)
        return [(below, [(((*place, channel), 1), 1.0)])]

    _Conv1DTranspose = _Conv3DTranspose = _Conv2DTranspose

    @staticmethod
    def _nearest_input(layer, shape, position, pad):
        """The place nearest the middle of all real y with ``y * stride - pad + t * dilation == position``."""
        found = []
        for n, p, before, size, stride, dilation in zip(
            shape, position, pad, layer.kernel_size, layer.strides, layer.dilation_rate, strict=False
        ):
            first, last = (p + before - (size - 1) * dilation) / stride, (p + before) / stride
            found.append(min(max(math.floor((first + last) / 2 + 0.5), 0), n - 1))
        return tuple(found)

    def _Matmul(self, node, below, neuron, sense):
        return self._Dense(_like(node, kernel=node.arguments.args[1]), below, neuron, sense)

    def _Conv(self, node, below, neuron, sense):
        kernel = node.arguments.args[1]
        groups = self.shapes[id(below)][-1] // kernel.shape[-2]
        return self._Conv2D(_like(node, kernel=kernel, groups=groups), below, neuron, sense)

    def _DepthwiseConv(self, node, below, neuron, sense):
        kernel = node.arguments.args[1]
        like = _like(node, kernel=kernel, depth_multiplier=kernel.shape[-1])
        return self._DepthwiseConv2D(like, below, neuron, sense)

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

    def _MaxPool(self, node, below, neuron, sense):
        return self._MaxPooling2D(_like(node), below, neuron, sense)

    _AveragePool = _MaxPool

    def _ExtractPatches(self, node, below, neuron, sense):
        """Channel ``(i * width + j) * channels + c`` is the element at row i, column j of the window."""
        operation, shape = node.operation, self.shapes[id(below)]
        *place, channel = neuron
        row, column = divmod(channel // shape[2], operation.size[1])
        strides = operation.strides or operation.size  # None before Keras 3.14
        strides = (strides, strides) if isinstance(strides, int) else strides
        found = []
        for n, p, tap, size, stride in zip(
            shape, place, (row, column), operation.size, strides, strict=False
        ):
            pad = max((math.ceil(n / stride) - 1) * stride + size - n, 0) // 2
            pad = pad if operation.padding == "same" else 0
            found.append(min(max(p * stride - pad + tap, 0), n - 1))
        return [(below, [(((*found, channel % shape[2]), sense), 1.0)])]

    def _Sum(self, node, below, neuron, sense):
        a, kept = self.values[id(below)], list(neuron)
        axes = [axis % (a.ndim + 1) - 1 for axis in node.operation.axis]
        best, place = -math.inf, None
        for index in itertools.product(*map(range, a.shape)):
            rest = [0 if axis in axes else i for axis, i in enumerate(index)]
            if not node.operation.keepdims:
                rest = [i for axis, i in enumerate(rest) if axis not in axes]
            worth = -a[index] if type(node.operation).__name__ in ("Min", "Amin") else sense * a[index]
            if rest == kept and worth > best:
                best, place = worth, index
        return [(below, [((place, sense), 1.0)])]

    _Min = _Amin = _Sum

    def _Where(self, node, below, neuron, sense):
        condition, first, second = node.arguments.args
        if isinstance(condition, keras.KerasTensor):
            chosen = bool(self.values[id(condition)][neuron])
        else:
            chosen = bool(np.broadcast_to(condition, self.shapes[id(self.output)])[neuron])
        branch = first if chosen else second
        if not isinstance(branch, keras.KerasTensor):
            return []
        return [(branch, [((neuron, sense), 1.0)])]

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

    def _TrueDivide(self, node, below, neuron, sense):
        dividend, divisor = node.arguments.args
        if not isinstance(divisor, keras.KerasTensor):
            return self._Multiply(node, below, neuron, sense)
        if isinstance(dividend, keras.KerasTensor):
            value = self.values[id(divisor)][_unbroadcast(neuron, self.shapes[id(divisor)])]
            return [(dividend, [((neuron, sense if value >= 0 else -sense), 1.0)])]
        constant = np.broadcast_to(dividend, self.shapes[id(self.output)])[neuron]
        return [(divisor, [((neuron, -sense if constant >= 0 else sense), 1.0)])]

    _Divide = _TrueDivide

    def _by_slope(self, node, below, neuron, sense):
        """Where the function falls, a low input is sought."""
        x = float(self.values[id(below)][neuron])
        low, high = (
            float(
                node.operation(
                    *[np.float32(z) if isinstance(a, keras.KerasTensor) else a for a in node.arguments.args]
                )
            )
            for z in (x - 1e-3 * abs(x), x + 1e-3 * abs(x))
        )
        return [(below, [((neuron, sense if high >= low else -sense), 1.0)])]

    def _by_value(self, below, neuron, sense):
        """Elements that only move: the one with the same value (the nets' values are random numbers)."""
        places = np.argwhere(self.values[id(below)] == self.values[id(self.output)][neuron])
        assert len(places) == 1
        return [(below, [((tuple(map(int, places[0])), sense), 1.0)])]

    def _Stack(self, node, below, neuron, sense):
        axis = node.operation.axis % (len(neuron) + 1) - 1
        tensor = node.arguments.args[0][neuron[axis]]
        return [(tensor, [(((*neuron[:axis], *neuron[axis + 1 :]), sense), 1.0)])]

    def _Rescaling(self, node, below, neuron, sense):
        scale = np.broadcast_to(node.operation.scale, self.shapes[id(below)])[neuron]
        return [(below, [((neuron, sense if scale >= 0 else -sense), 1.0)])]

    def _BatchNormalization(self, node, below, neuron, sense):
        gamma = np.asarray(node.operation.gamma)[neuron[-1]] if node.operation.scale else 1.0
        return [(below, [((neuron, sense if gamma >= 0 else -sense), 1.0)])]

    _GroupNormalization = _BatchNormalization

    def _RMSNormalization(self, node, below, neuron, sense):
        scale = np.asarray(node.operation.scale)[neuron[-1]]
        return [(below, [((neuron, sense if scale >= 0 else -sense), 1.0)])]

    def _BatchNorm(self, node, below, neuron, sense):
        scale = node.arguments.args[4][neuron[-1]]
        return [(below, [((neuron, sense if scale >= 0 else -sense), 1.0)])]

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

    def _ZeroPadding1D(self, node, below, neuron, sense):
        sides = node.operation.padding
        sides = [sides] if isinstance(sides[0], int) else sides
        return self._moved(below, neuron, sense, [-before for before, _ in sides])

    _ZeroPadding3D = _ZeroPadding1D

    def _Cropping1D(self, node, below, neuron, sense):
        sides = node.operation.cropping
        sides = [sides] if isinstance(sides[0], int) else sides
        return self._moved(below, neuron, sense, [before for before, _ in sides])

    _Cropping3D = _Cropping1D

    def _Pad(self, node, below, neuron, sense):
        if node.operation.mode != "constant":
            return self._by_value(below, neuron, sense)
        return self._moved(below, neuron, sense, [-before for before, _ in node.operation.pad_width[1:]])

    def _moved(self, below, neuron, sense, by):
        place = list(neuron)
        for axis, shift in enumerate(by):
            place[axis] = min(max(place[axis] + shift, 0), self.shapes[id(below)][axis] - 1)
        return [(below, [((tuple(place), sense), 1.0)])]

    def _UpSampling2D(self, node, below, neuron, sense):
        size = node.operation.size
        size = (size,) if isinstance(size, int) else size
        place = [i // s for i, s in zip(neuron, size, strict=False)]
        return [(below, [(((*place, neuron[-1]), sense), 1.0)])]

    _UpSampling1D = _UpSampling3D = _UpSampling2D

    def _Resizing(self, node, below, neuron, sense):
        """The input pixel whose centre is nearest the output pixel's centre."""
        layer, before, after = node.operation, self.shapes[id(below)], self.shapes[id(self.output)]
        kept = before[:2]
        if getattr(layer, "crop_to_aspect_ratio", True):  # as a centre crop that must enlarge does
            kept = (
                min(before[0], int(before[1] * after[0] / after[1])),
                min(before[1], int(before[0] * after[1] / after[0])),
            )
        place = []
        for i, n, inner, m in zip(neuron, before, kept, after, strict=False):
            centre = (i + 0.5) * inner / m
            tie = centre % 1 == 0 and getattr(layer, "interpolation", "bilinear") != "nearest"
            nearest = math.floor(centre) - tie  # where two weigh the same: the first
            place.append((n - inner) // 2 + min(max(nearest, 0), inner - 1))
        return [(below, [(((*place, neuron[-1]), sense), 1.0)])]

    _Resize = _Resizing

    def _CenterCrop(self, node, below, neuron, sense):
        before, after = self.shapes[id(below)], self.shapes[id(self.output)]
        if after[0] > before[0] or after[1] > before[1]:
            return self._Resizing(node, below, neuron, sense)
        return self._moved(
            below, neuron, sense, [(b - a) // 2 for b, a in zip(before, after, strict=True)][:2]
        )

    def _Permute(self, node, below, neuron, sense):
        moved = [0] * len(neuron)
        for axis, source in enumerate(node.operation.dims):
            moved[source - 1] = neuron[axis]
        return [(below, [((tuple(moved), sense), 1.0)])]


def _like(node, **settings):
    """A node whose operation looks like a layer: an operator's settings, for two spatial axes."""
    operation = node.operation

    def pair(setting):
        return (setting, setting) if isinstance(setting, int) else setting

    size = pair(getattr(operation, "pool_size", None))
    strides = pair(getattr(operation, "strides", None)) or size
    settings = {
        "pool_size": size,
        "strides": strides,
        "padding": getattr(operation, "padding", None),
    } | settings
    if "kernel" in settings:
        settings["kernel_size"] = settings["kernel"].shape[:2]
        del settings["pool_size"]
    return SimpleNamespace(operation=SimpleNamespace(**settings), arguments=node.arguments)


def _is_softmax(tensor):
    operation = _node(tensor).operation
    function = getattr(getattr(operation, "activation", None), "__name__", "")
    return "softmax" in (function, type(operation).__name__.lower())


def _strides(layer):
    return layer.strides


def _size(layer):
    return layer.pool_size if hasattr(layer, "pool_size") else layer.kernel_size


def _dilation(layer):
    return getattr(layer, "dilation_rate", (1, 1))


def _padding_before(layer, shape):
    """TensorFlow's SAME padding: ``max((ceil(n / stride) - 1) * stride + window - n, 0) // 2`` in front."""
    if layer.padding == "valid":
        return (0,) * (len(shape) - 1)
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
