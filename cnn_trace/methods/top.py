"""``method="top"``: Gandikota and Mishra, *How You See Me* (2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.dense_fan import DenseFan
from gazeback.cnn_trace.rules.fan import Fan
from gazeback.cnn_trace.selection import CNNFixations, Location


@dataclass(frozen=True)
class TopContributors(CNNFixations):
    """Keeps the strongest contributors of each dense neuron, and every supporting channel of a convolution.

    Dense layers: the ``top`` inputs with the largest ``a * w + b``, if that is positive. A neuron whose bias
    outweighs every product would end the walk; it keeps its largest positive products (not in the paper).
    Convolutions: every channel whose sum of ``a * w`` over the window is positive, at the location of its
    largest product. Pools: the largest value, as in *CNN Fixations*. Every neuron counts once.

    Attributes:
        top: n, the number of contributors that a dense neuron keeps.
    """

    location: Location = "argmax"
    top: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.location != "argmax":
            raise TraceError(
                'method "top" goes to the place of the largest product; location must be "argmax"'
            )
        if self.top < 1:
            raise TraceError(f"top must be 1 or more, got {self.top}")

    def window(self, fan: Fan, evidence: Evidence) -> Evidence:
        """Keep the channels with positive sums, each at the location of its largest product."""
        asked = evidence.weights > 0
        reached = np.zeros((math.prod(fan.shape), asked.shape[1]), bool)
        for part in fan.parts():
            supports, elements = fan.support(part)
            for question, of_question in enumerate(asked[part].T):
                reached[elements[of_question][supports[of_question]], question] = True
        found = np.flatnonzero(reached.any(axis=1))
        weights = reached[found].astype(np.float64)
        return Evidence(None, weights, None, unique=True, elements=found, shape=fan.shape)

    def dense(self, fan: DenseFan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep the inputs with the largest ``a * w + b``, at most ``top`` for each neuron."""
        inputs = np.arange(len(fan.values))
        count = min(self.top, len(inputs))
        reached = np.zeros((len(inputs), weights.shape[1]))
        for part in fan.parts(len(inputs)):
            products = fan.products(part, inputs)
            support = products + fan.bias[part, None]
            support = np.where((support > 0).any(axis=1, keepdims=True), support, products)
            largest = np.argsort(-support, axis=1, kind="stable")[:, :count]
            row, place = np.nonzero(np.take_along_axis(support, largest, axis=1) > 0)
            np.maximum.at(reached, largest[row, place], weights[part][row])
        kept = reached.any(axis=1)
        return inputs[kept], (reached[kept] > 0).astype(np.float64)
