"""Recurrent layers around any cell, opened step by step; their cells are layers and opened in their turn."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor, ops, tree

from gazeback.cnn_trace.openings import register_opening


def _over_steps(
    layer: Any, sequences: KerasTensor, initial_state: Any = None, mask: Any = None, training: Any = None
) -> Any:
    """``RNN(cell)`` over a fixed number of steps: SimpleRNN, cells of one's own, stacked cells, ConvLSTM."""
    if layer.stateful:
        raise ValueError("it is stateful: its past is not part of this forward pass")
    states = _nested(layer, initial_state, sequences)
    order = range(sequences.shape[1])
    outputs: list[KerasTensor] = []
    for t in reversed(order) if layer.go_backwards else order:
        output, after = layer.cell(sequences[:, t], states)
        after = tree.pack_sequence_as(states, tree.flatten(after))
        if mask is not None:
            before = outputs[-1] if outputs and not layer.zero_output_for_mask else ops.zeros_like(output)
            output = _where(mask[:, t], output, before)
            after = tree.map_structure(lambda new, old, t=t: _where(mask[:, t], new, old), after, states)
        states = after
        outputs.append(output)
    found = ops.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return [found, *tree.flatten(states)] if layer.return_state else found


def _nested(layer: Any, given: Any, sequences: KerasTensor) -> Any:
    """The initial states as the cell nests them: those that were given, or its own for every row."""
    own = layer.get_initial_state(1)
    own = list(own) if tree.is_nested(own) else [own]
    if given is not None:
        return tree.pack_sequence_as(own, tree.flatten(given))
    zero = ops.zeros_like(ops.reshape(sequences[:, 0], (-1, _count(sequences)))[:, :1])
    return tree.map_structure(lambda x: ops.reshape(zero, (-1, *[1] * (len(x.shape) - 1))) + x, own)


def _count(sequences: KerasTensor) -> int:
    """How many numbers a step has."""
    count = 1
    for size in sequences.shape[2:]:
        count *= size
    return count


def _where(mask: KerasTensor, new: KerasTensor, old: KerasTensor) -> KerasTensor:
    return ops.where(ops.reshape(mask, (-1, *[1] * (len(new.shape) - 1))), new, old)


for _kind in ("RNN", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"):
    register_opening(getattr(keras.layers, _kind), _over_steps)
