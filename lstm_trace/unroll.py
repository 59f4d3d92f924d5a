"""Unroll a recurrent layer over its steps: once forward, then back for many questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from threadpoolctl import ThreadpoolController

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.step import Step
from gazeback.lstm_trace.cells import GRUCell, LSTMCell, State

# The products of one step are small: several threads would mostly wait for each other.
one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")


@dataclass(frozen=True)
class Unrolled:
    """One forward pass through a recurrent layer, step by step in the order of processing.

    Attributes:
        cell: the weights.
        x: ``[n, T, X]``, reversed if the layer runs backwards.
        mask: bool ``[n, T]``: False where a step is skipped.
        h: ``[n, T + 1, U]``, the first being the initial state.
        frozen: for each step the values that the step back needs, arrays ``[n, U]``.
    """

    cell: LSTMCell | GRUCell
    x: np.ndarray
    mask: np.ndarray
    h: np.ndarray
    frozen: list[dict[str, np.ndarray]]


@one_thread
def unroll(step: Step, stabilizer: float = 0.0) -> Unrolled:
    """Run the layer of a step in NumPy on its recorded input.

    Args:
        step: the call.
        stabilizer: that of the cell.

    Raises:
        TraceError: the layer keeps its state between batches.
    """
    layer = step.layer
    if layer.stateful:
        raise TraceError(f"layer {step.call.name!r} is stateful: its past is not part of this forward pass")
    kind = LSTMCell if isinstance(layer, keras.layers.LSTM) else GRUCell
    cell = kind.of(layer, stabilizer)
    x = step.recorded(step.input)
    mask = _mask(step, x.shape[:2])
    if layer.go_backwards:
        x, mask = x[:, ::-1], mask[:, ::-1]
    states: State = tuple(
        np.zeros((len(x), layer.units), np.float32) if tensor is None else step.recorded(tensor)
        for tensor in initial_states(step, cell.states)
    )
    projected, hs, frozen = cell.project(x), [states[0]], []
    for t in range(x.shape[1]):
        new, kept = cell.forward(projected[:, t], states)
        runs = mask[:, t, None]
        states = tuple(np.where(runs, after, before) for after, before in zip(new, states, strict=True))
        hs.append(states[0])
        frozen.append(kept)
    return Unrolled(cell, x, mask, np.stack(hs, axis=1), frozen)


def initial_states(step: Step, count: int) -> list[Tensor | None]:
    """The tensors of the initial states; None for a state that is zero."""
    arguments = step.call.arguments
    given: Any = step.call.keywords.get("initial_state", arguments[1] if len(arguments) > 1 else None)
    return list(keras.tree.flatten(given)) if given is not None else [None] * count


def _mask(step: Step, shape: tuple[int, int]) -> np.ndarray:
    given = step.call.keywords.get("mask")
    return np.asarray(step.recorded(given), bool) if isinstance(given, Tensor) else np.ones(shape, bool)


@dataclass(frozen=True)
class Coefficients:
    """Coefficients on all inputs of a recurrent layer.

    Attributes:
        x: ``[questions, T, X]`` in the order of the layer's input.
        states: on the initial states, each ``[questions, U]``.
        bias: ``[questions]``, the contributions of the biases.
    """

    x: np.ndarray
    states: State
    bias: np.ndarray


@one_thread
def frozen_back(
    unrolled: Unrolled, layer: Any, outputs: np.ndarray, final: State, image: np.ndarray
) -> Coefficients:
    """Take coefficients on the outputs back through all steps, with frozen gates (docs/method.md, step 1).

    ``sum_t x_t . coefficients_t + initial states . theirs + bias`` equals the sum of outputs times their
    coefficients, to float precision.

    Args:
        unrolled: the forward pass.
        layer: the Keras layer.
        outputs: ``[questions, T, U]``, coefficients on each step's output, in the order of processing.
        final: coefficients on the final states, each ``[questions, U]``.
        image: int64 ``[questions]``, the index of each question's sequence among the ``n``.
    """
    cell, steps = unrolled.cell, unrolled.x.shape[1]
    x = np.zeros((len(image), steps, unrolled.x.shape[2]), np.float32)
    bias = np.zeros(len(image))
    dstates, waiting = final, np.zeros_like(final[0])
    for t in reversed(range(steps)):
        runs = unrolled.mask[image, t, None]
        # A skipped step repeats the output of the step before it, or gives zeros.
        dout = outputs[:, t] + waiting
        waiting = np.zeros_like(dout) if layer.zero_output_for_mask else np.where(runs, 0, dout)
        frozen = {name: values[image] for name, values in unrolled.frozen[t].items()}
        back = cell.back(dstates[0] + dout, dstates, frozen)
        x[:, t] = np.where(runs, back.x, 0)
        bias += np.where(runs[:, 0], back.bias, 0)
        dstates = tuple(np.where(runs, new, old) for new, old in zip(back.states, dstates, strict=True))
    return Coefficients(x[:, ::-1] if layer.go_backwards else x, dstates, bias)
