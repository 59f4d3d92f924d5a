"""``method="discernible"``: *Layer-wise selected discernible neurons* (ICLR 2020 submission)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence, union
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.rules.dense_fan import DenseFan
from gazeback.cnn_trace.rules.fan import Fan
from gazeback.cnn_trace.rules.table import rule_of
from gazeback.cnn_trace.selection import CNNFixations, Location
from gazeback.cnn_trace.step import Step


@dataclass(frozen=True)
class DiscernibleNeurons(CNNFixations):
    """Keeps the ``top_k`` candidates with the best scores of each selected neuron.

    A candidate is an input of a selected neuron with a positive product. Its score is
    ``Omega = a_suc * Z_suc * (a_cur * Z_cur + a_pre * Z_pre)``:

    - ``Z_cur = a * w``, its contribution to the selected neuron;
    - ``Z_pre``, the largest single ``a * w`` that feeds the candidate itself (0 for pixels);
    - ``Z_suc``, the number of selected neurons of which it is the largest contributor (1 if there are none).

    Every neuron counts once. Pools: the largest value, as in *CNN Fixations*.

    Attributes:
        top_k: the number of candidates that each selected neuron keeps.
        alphas: ``(a_suc, a_cur, a_pre)``, learned by ``gazeback train discernible``.
    """

    location: Location = "argmax"
    top_k: int = 3
    # The best arm after 160 rounds of the bandit on GoogLeNet and photos of ImageNet (docs/measurements.md).
    alphas: tuple[float, float, float] = (1.0, 1.0, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.location != "argmax":
            raise TraceError('method "discernible" chooses the place by its score; location must be "argmax"')
        if self.top_k < 1:
            raise TraceError(f"top_k must be 1 or more, got {self.top_k}")
        if len(self.alphas) != 3 or min(self.alphas) < 0 or not self.alphas[0] or not any(self.alphas[1:]):
            raise TraceError(
                "alphas must be three numbers (succeeding, current, preceding), none negative, the first and "
                f"one of the others above 0; got {self.alphas}"
            )

    def window(self, fan: Fan, evidence: Evidence) -> Evidence:
        """Keep the elements with the best scores in each neuron's window, question by question."""
        parts = [evidence.take(slice(0, 0)).moved(np.zeros(0, np.int64), fan.shape)]
        for question, asked in enumerate(evidence.weights.T):
            neurons = np.flatnonzero(asked)
            if not len(neurons):
                continue
            row, element = self._of_windows(fan.take(neurons))
            only = np.zeros((len(row), evidence.weights.shape[1]))
            only[:, question] = 1
            parts.append(Evidence.of(np.zeros((len(row), 0)), only).moved(element, fan.shape))
        return union(parts, fan.shape, once=True)

    def _of_windows(self, fan: Fan) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a neuron and an element that it keeps: two arrays int ``[m]``."""
        succeeding = np.zeros(int(np.prod(fan.shape)), np.int64)
        candidate = np.zeros(len(succeeding), bool)
        for _, products, elements in _window_products(fan):
            np.add.at(succeeding, _of_largest(products, elements), 1)
            candidate[elements[products > 0]] = True
        preceding = np.zeros(len(succeeding), np.float32)
        found = np.flatnonzero(candidate)
        preceding[found] = feeding(fan.step.recording, fan.step.input, found)
        kept = []
        for part, products, elements in _window_products(fan):
            score = self._score(products, preceding[elements], succeeding[elements])
            row, place = self._best(score, products)
            kept.append((row + part.start, elements[row, place]))
        rows, kept_elements = zip(*kept, strict=True)
        return np.concatenate(rows), np.concatenate(kept_elements)

    def dense(self, fan: DenseFan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep the inputs with the best scores of each neuron, question by question."""
        reached = np.zeros((len(fan.values), weights.shape[1]))
        for question, asked in enumerate(weights.T):
            reached[self._of_vector(fan.take(np.flatnonzero(asked))), question] = 1
        inputs = np.flatnonzero(reached.any(axis=1))
        return inputs, reached[inputs]

    def _of_vector(self, fan: DenseFan) -> np.ndarray:
        """The inputs that any neuron keeps, int ``[m]``."""
        inputs = np.flatnonzero(fan.values)
        if not len(inputs):
            return inputs
        succeeding = np.zeros(len(inputs), np.int64)
        for part in fan.parts(len(inputs)):
            products = fan.products(part, inputs)
            np.add.at(succeeding, _of_largest(products, np.arange(len(inputs))), 1)
        preceding = feeding(fan.step.recording, fan.tensor, fan.elements(inputs))
        kept = np.zeros(len(inputs), bool)
        for part in fan.parts(len(inputs)):
            products = fan.products(part, inputs)
            _, place = self._best(self._score(products, preceding, succeeding), products)
            kept[place] = True
        return inputs[kept]

    def _score(self, current: np.ndarray, preceding: np.ndarray, succeeding: np.ndarray) -> np.ndarray:
        a_suc, a_cur, a_pre = self.alphas
        return a_suc * np.maximum(succeeding, 1) * (a_cur * current + a_pre * preceding)

    def _best(self, score: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the ``top_k`` candidates with the best scores in each row."""
        score = np.where(products > 0, score, -np.inf)
        count = min(self.top_k, score.shape[1])
        best = np.argsort(-score, axis=1, kind="stable")[:, :count]
        row, place = np.nonzero(np.isfinite(np.take_along_axis(score, best, axis=1)))
        return row, best[row, place]


def _window_products(fan: Fan) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield chunks of neurons, their products (times the sign) and elements, both ``[m, taps * width]``."""
    for part in fan.parts():
        products = fan.products(part)
        products *= fan.sense[part, None, None]
        yield part, products.reshape(len(products), -1), fan.elements(part).reshape(len(products), -1)


def _of_largest(products: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """The element of each row's largest product, for rows where this product is positive."""
    place = products.argmax(axis=1)
    rows = np.arange(len(place))
    elements = np.broadcast_to(elements, products.shape)
    return elements[rows, place][products[rows, place] > 0]


def feeding(recording: Recording, tensor: Tensor, elements: np.ndarray) -> np.ndarray:
    """Compute ``Z_pre``: the largest single ``a * w`` that feeds each element, float32 ``[n]``, 0 if there is
    none.

    Layers that only move or choose values (activations, pools, additions) are passed as in *CNN Fixations*,
    up to the convolution or dense layer that made the value.

    Args:
        recording: of the forward pass.
        tensor: the tensor of the elements.
        elements: int ``[n]``, flat indices (batch axis included).
    """
    largest = np.zeros(len(elements), np.float32)
    coordinates = np.stack(np.unravel_index(elements, recording.shapes[tensor]), axis=1)
    # The weight is the index of the element that a neuron came from.
    stack = [(tensor, Evidence.of(coordinates, np.arange(len(elements), dtype=np.float64)))]
    while stack:
        tensor, evidence = stack.pop()
        if tensor.call is None or not tensor.call.depends_on_image or not len(evidence):
            continue
        rule = rule_of(tensor.call)
        step = Step(tensor.call, recording, tensor)
        if rule.feeding is not None:
            rows = evidence.weights[:, 0].astype(np.int64)
            largest[rows] = np.maximum(rule.feeding(step, evidence), 0)
        elif rule.walk is not None:
            for below, part in rule.walk(step, evidence, CNNFixations()):
                stack.append((below, part.in_batch(recording.shapes[below][0], recording.shapes[tensor][0])))
    return largest
