"""Slow, literal twins of the methods "top" and "discernible", on the loops of the twin of *CNN Fixations*."""

import itertools
import math

import numpy as np
from twins.fixations import Twin, _node

KERNELS = ("Conv2D", "DepthwiseConv2D", "Dense")


def _products(twin, node, neuron, sense):
    """``{input neuron: a * w * sense}`` of one neuron of a layer with a kernel."""
    layer, below = node.operation, node.input_tensors[0]
    a, kernel = twin.values[id(below)], np.asarray(layer.kernel)
    if type(layer).__name__ == "Dense":
        *vector, out = neuron
        row = a[tuple(vector)]
        return {(*vector, j): sense * float(row[j]) * float(kernel[j, out]) for j in range(len(row))}
    row, column, out = neuron
    if type(layer).__name__ == "DepthwiseConv2D":
        channel, multiple = divmod(out, layer.depth_multiplier)
        channels = {channel: kernel[:, :, channel, multiple]}
    else:
        per_group = kernel.shape[2]
        first = out // (kernel.shape[3] // layer.groups) * per_group
        channels = {first + c: kernel[:, :, c, out] for c in range(per_group)}
    found = {}
    for c, weights in channels.items():
        for i, j in itertools.product(*map(range, weights.shape)):
            y, x = twin._place(layer, a, row, column, i, j)
            if 0 <= y < a.shape[0] and 0 <= x < a.shape[1]:
                found[y, x, c] = sense * float(a[y, x, c]) * float(weights[i, j])
    return found


def _largest(products):
    """The input with the largest product, the first one in memory order if several."""
    return max(sorted(products), key=products.get)


class TopTwin(Twin):
    """*How You See Me*."""

    def __init__(self, model, image, top):
        super().__init__(model, image, location="argmax")
        self.top = top

    def back(self, node, neuron, sense):
        kind = type(node.operation).__name__
        if kind not in KERNELS:
            return super().back(node, neuron, sense)
        products = _products(self, node, neuron, sense)
        if kind == "Dense":
            layer = node.operation
            bias = sense * float(layer.bias[neuron[-1]]) if layer.use_bias else 0.0
            support = {j: p + bias for j, p in products.items() if p + bias > 0}
            support = support or {j: p for j, p in products.items() if p > 0}
            kept = sorted(support, key=lambda j: (-support[j], j))[: self.top]
        else:
            kept = []
            for c in {place[-1] for place in products}:
                inside = {place: p for place, p in products.items() if place[-1] == c}
                if sum(inside.values()) > 0:
                    kept.append(_largest(inside))
        return [(node.input_tensors[0], [((place, 1), 1.0) for place in kept])]


class DiscernibleTwin(Twin):
    """*Layer-wise selected discernible neurons*."""

    def __init__(self, model, image, top_k, alphas):
        super().__init__(model, image)
        self.top_k, self.alphas = top_k, alphas

    def walk(self, start):
        found = {id(tensor): dict(neurons) for tensor, neurons in start.items()}
        for node in reversed(self.nodes):
            output = node.outputs[0]
            if id(output) not in found or not node.input_tensors:
                continue
            self.output = output
            selected = list(found[id(output)])
            for tensor, neurons in self.back_all(node, selected):
                found.setdefault(id(tensor), {}).update(dict.fromkeys(neurons, 1.0))
        return found

    def back_all(self, node, selected):
        if type(node.operation).__name__ not in KERNELS:
            for neuron in selected:
                for tensor, contributors in self.back(node, *neuron):
                    yield tensor, [contributor for contributor, _ in contributors]
            return
        below = node.input_tensors[0]
        products = [_products(self, node, *neuron) for neuron in selected]
        best = [_largest(p) for p in products if max(p.values()) > 0]
        a_suc, a_cur, a_pre = self.alphas
        for supported in products:
            score = {
                j: a_suc * max(best.count(j), 1) * (a_cur * p + a_pre * self.feeding(below, j))
                for j, p in supported.items()
                if p > 0
            }
            kept = sorted(score, key=lambda j: (-score[j], j))[: self.top_k]
            yield below, [(j, 1) for j in kept]

    def feeding(self, tensor, neuron, sense=1):
        """The largest product that feeds a neuron, through layers that only move or choose."""
        node = _node(tensor)
        if not node.input_tensors:
            return 0.0
        if type(node.operation).__name__ in KERNELS:
            return max(0.0, *_products(self, node, neuron, sense).values())
        self.output = tensor
        steps = [
            (below, found)
            for below, contributors in self.back(node, neuron, sense)
            for found, _ in contributors
        ]
        return max((self.feeding(below, *found) for below, found in steps), default=-math.inf)
