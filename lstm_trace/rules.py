"""The rules of ``keras.layers.LSTM`` and ``keras.layers.GRU``: the published walk, and the frozen adjoint."""

from __future__ import annotations

import keras
import numpy as np

from gazeback.cnn_trace import Rule, register_rule
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules.rule import inputs
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step
from gazeback.lstm_trace.unroll import Unrolled, frozen_back, initial_states, unroll


def adjoint(
    step: Step, coefficients: np.ndarray, stabilizer: float = 0.0
) -> tuple[list[tuple[Tensor, np.ndarray]], np.ndarray]:
    """Contributions of every step's input and of the initial states, with frozen gates (docs/method.md)."""
    assert step.image is not None
    unrolled = unroll(step, stabilizer)
    outputs, final = _placed(step, coefficients, unrolled)
    result = frozen_back(unrolled, step.layer, outputs, final, step.image)
    below = [(step.input, result.x)]
    for tensor, state in zip(initial_states(step, unrolled.cell.states), result.states, strict=True):
        if tensor is not None:
            below.append((tensor, state))
    return below, result.bias


def _placed(
    step: Step, coefficients: np.ndarray, unrolled: Unrolled
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Coefficients ``[questions, T, U]`` on each step's output, and those on the final states."""
    questions, units = len(coefficients), unrolled.h.shape[2]
    outputs = np.zeros((questions, unrolled.x.shape[1], units), np.float32)
    final = [np.zeros((questions, units), np.float32) for _ in range(unrolled.cell.states)]
    which = step.call.outputs.index(step.output)
    if which > 0:
        final[which - 1] = coefficients
    elif step.layer.return_sequences:
        outputs = outputs + coefficients
    else:
        outputs[:, -1] = coefficients
    return outputs, tuple(final)


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """The published walk (*CNN Fixations*, IEEE TIP 2018, section IV-D).

    From the supporting units of m_t it follows, through each gate, every unit of m_(t-1) and of x_t with a
    positive product. The units of all gates are merged. This repeats for each earlier time step.
    """
    unrolled = unroll(step)
    cell, layer = unrolled.cell, step.layer
    units, steps, images = unrolled.h.shape[2], unrolled.x.shape[1], unrolled.x.shape[0]
    recurrent = _Gates(cell.recurrent, units)
    kernel = _Gates(cell.kernel, units)
    start = _start(step, evidence, images, steps, units)
    found = [[], []]  # type: ignore[var-annotated]
    questions = evidence.weights.shape[1]
    for image in range(images):
        kept = np.zeros((units, questions))
        for t in reversed(range(steps)):
            kept = np.maximum(kept, start[image, t])
            if not unrolled.mask[image, t] or not kept.any():
                continue
            place = steps - 1 - t if layer.go_backwards else t
            entered = kernel.supporters(unrolled.x[image, t], kept)
            found[0].append(_evidence([image, place], entered))
            kept = recurrent.supporters(unrolled.h[image, t], kept)
        found[1].append(_evidence([image], kept))
    below = [(step.input, _joined(found[0], 3, questions))]
    first = initial_states(step, cell.states)[0]
    if first is not None:
        below.append((first, _joined(found[1], 2, questions)))
    return below


def _start(step: Step, evidence: Evidence, images: int, steps: int, units: int) -> np.ndarray:
    """Find the supporting units of m_t at each step: float ``[images, T, U, questions]``, 1 for a supporting
    unit."""
    start = np.zeros((images, steps, units, evidence.weights.shape[1]))
    image, unit = evidence.image, evidence.coordinates[:, -1]
    sequence = len(step.output.shape) == 3
    time = evidence.coordinates[:, 1] if sequence else np.full(len(evidence), steps - 1)
    np.maximum.at(start, (image, time, unit), (evidence.weights > 0).astype(np.float64))
    return start


class _Gates:
    """Finds the inputs of a gated layer that have a positive product with a unit through any gate."""

    def __init__(self, kernel: np.ndarray, units: int) -> None:
        gates = kernel.reshape(kernel.shape[0], -1, units)
        self.positive = (gates > 0).any(axis=1).astype(np.float32)
        self.negative = (gates < 0).any(axis=1).astype(np.float32)

    def supporters(self, values: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """float ``[inputs, questions]``: 1 where ``value * weight > 0`` for any gate of any kept unit."""
        kept = kept.astype(np.float32)
        through_positive = (self.positive @ kept > 0) & (values > 0)[:, None]
        through_negative = (self.negative @ kept > 0) & (values < 0)[:, None]
        return (through_positive | through_negative).astype(np.float64)


def _evidence(prefix: list[int], weights: np.ndarray) -> Evidence:
    units = np.flatnonzero(weights.any(axis=1))
    return Evidence.of(np.column_stack([np.tile(prefix, (len(units), 1)), units]), weights[units])


def _joined(parts: list[Evidence], rank: int, questions: int) -> Evidence:
    if not parts:
        return Evidence.of(np.zeros((0, rank)), np.zeros((0, questions)))
    return Evidence.of(
        np.concatenate([part.coordinates for part in parts]), np.concatenate([part.weights for part in parts])
    )


register_rule(keras.layers.LSTM, Rule(walk, adjoint, inputs, inputs))
register_rule(keras.layers.GRU, Rule(walk, adjoint, inputs, inputs))
