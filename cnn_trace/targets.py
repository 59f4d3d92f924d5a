"""Find the neurons that a target names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.layout import channels_last, columns_as_stored, shape_last
from gazeback.cnn_trace.neurons import Evidence, union, unravelled
from gazeback.cnn_trace.recording import Recording

# As a coordinate of a neuron: every index along this axis.
EVERYWHERE = -1

CONTRASTS = ("mean", "likely", "strongest")


def named_neurons(start: Tensor, target: Any, recording: Recording) -> np.ndarray:
    """Find the neurons that a target names (see ``trace``): int ``[images, questions, rank - 1]``.

    Raises:
        TraceError: the target is out of range or of a wrong kind, or the tensor holds NaN.
    """
    images = recording.shapes[start][0]
    check_finite(start, recording)
    if isinstance(target, np.ndarray):
        if target.shape != (images,) or target.dtype.kind not in "iu":
            raise TraceError(
                f"an array of targets must hold one class index per image (int [{images}]), "
                f"got {target.dtype} {list(target.shape)}"
            )
        rows = [_neuron(start, int(t), recording)[i] for i, t in enumerate(target)]
        return np.stack(rows)[:, None]
    targets: Sequence[Any] = target if isinstance(target, list) else [target]
    if not targets:
        raise TraceError("the list of targets is empty")
    return np.stack([_neuron(start, t, recording) for t in targets], axis=1)


def check_finite(start: Tensor, recording: Recording) -> None:
    """Raises TraceError if the tensor on which the questions start holds NaN or infinite values."""
    if not np.isfinite(recording[start]).all():
        raise TraceError(
            f"{start.name!r} holds NaN or infinite values for this input: there is nothing to trace"
        )


def _neuron(start: Tensor, target: Any, recording: Recording) -> np.ndarray:
    """Find the neuron of one target for every image: int ``[images, rank - 1]``."""
    images, *shape = shape_last(start, recording.shapes[start])
    if isinstance(target, tuple) or (target is not None and len(shape) == 1):
        found = np.repeat(_given(start, target, shape)[None], images, axis=0)
    else:
        values = channels_last(start, recording[start])
        if target is not None:
            channel = _index(target)
            if not shape:
                raise TraceError(f"{start.name!r} holds one number for each image: leave the target out")
            if not 0 <= channel < shape[-1]:
                raise TraceError(
                    f"target {target!r} is out of range: {start.name!r} has {shape[-1]} channels"
                )
            values = np.where(np.arange(shape[-1]) == channel, values, -np.inf)
        best = values.reshape(images, -1).argmax(axis=1)
        found = unravelled(best, (1, *shape))[:, 1:]
    return columns_as_stored(start, np.column_stack([np.zeros(images, np.int64), found]))[:, 1:]


def _given(start: Tensor, target: Any, shape: list[int]) -> np.ndarray:
    """The coordinates that a tuple gives; ``...`` in front means every location."""
    if isinstance(target, tuple) and target[:1] == (...,) and len(target) == 2:
        target = (*[EVERYWHERE] * (len(shape) - 1), _index(target[1]))
        neuron = np.array(target)
        outside = not 0 <= neuron[-1] < shape[-1]
    else:
        neuron = np.array([_index(t) for t in (target if isinstance(target, tuple) else (target,))])
        outside = len(neuron) != len(shape) or bool((neuron < 0).any() or (neuron >= shape).any())
    if outside:
        raise TraceError(f"target {target!r} is out of range: {start.name!r} has the shape {shape}")
    return neuron


def _index(target: Any) -> int:
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise TraceError(f"a target is an int, a tuple of ints or None, got {target!r}")
    return int(target)


def start_evidence(
    values: np.ndarray, neurons: np.ndarray, once: bool, rows: np.ndarray, asked: np.ndarray
) -> Evidence:
    """Make evidence on the explained neurons; the weights of each question sum to 1.

    If a question is about a whole channel, the weight is split among the locations with positive values, in
    proportion (``once``: 1 each).

    Args:
        values: ``[images, ...]`` of the tensor on which the questions start.
        neurons: int ``[images, questions, rank - 1]``.
        once: whether weights are 1, as in the published methods.
        rows: int ``[images * questions]``, the row of ``values`` of each question.
        asked: bool, of the same length: whether each question starts on this tensor.
    """
    images, questions = neurons.shape[:2]
    flat = np.column_stack([rows, neurons.reshape(images * questions, -1)])[asked]
    question = np.tile(np.arange(questions), images)[asked]
    weights = np.zeros((len(flat), questions))
    weights[np.arange(len(flat)), question] = 1
    if not (flat == EVERYWHERE).any():
        return union([Evidence.of(flat, weights)], values.shape, once=False)
    parts = []
    for row, asked in zip(flat, weights, strict=True):
        fired = np.maximum(values[tuple(slice(None) if i == EVERYWHERE else i for i in row)], 0)
        places = np.repeat(row[None], np.count_nonzero(fired), axis=0)
        places[:, row == EVERYWHERE] = np.argwhere(fired)
        share = np.ones(len(places)) if once else fired[fired > 0] / max(fired.sum(), 1e-30)
        parts.append(Evidence.of(places, share[:, None] * asked))
    return union(parts, values.shape, once=False)


def start_coefficients(shape: tuple[int, ...], neurons: np.ndarray) -> np.ndarray:
    """Make start coefficients, float32 ``[images * questions, ...]``: 1 on the explained neurons.

    Args:
        shape: the shape of the tensor on which the questions start, batch axis included.
        neurons: int ``[images, questions, rank - 1]``.
    """
    images, questions = neurons.shape[:2]
    flat = neurons.reshape(images * questions, -1)
    start = np.zeros((len(flat), *shape[1:]), np.float32)
    for question, neuron in enumerate(flat):
        start[(question, *(slice(None) if i == EVERYWHERE else i for i in neuron))] = 1
    return start


def contrasted(start: np.ndarray, logits: np.ndarray, contrast: str) -> np.ndarray:
    """Make start coefficients for a class *rather than for the others*: ``k - sum_j s_j k_j`` with
    ``sum_j s_j = 1``.

    A softmax does not change if the same number is added to every logit. The same is true for the explanation
    in contrast to the others. The classes are assumed to exclude each other.

    Args:
        start: float32 ``[questions, ..., classes]``, 1 on the explained neurons.
        logits: of the same shape, finite: the values of the tensor on which the questions start.
        contrast: the weights s of the others: ``"mean"``, equal; ``"likely"``, by their probability, which
            gives the derivative of the log odds; ``"strongest"``, the largest one alone.

    Returns:
        float32, of the same shape.
    """
    others = np.where(start > 0, -np.inf, logits)
    if contrast == "strongest":
        shares = others == others.max(axis=-1, keepdims=True)
    elif contrast == "likely":
        shares = np.exp(others - others.max(axis=-1, keepdims=True))
    else:
        shares = np.isfinite(others)
    shares = shares / shares.sum(axis=-1, keepdims=True)
    return (start - start.sum(axis=-1, keepdims=True) * shares).astype(np.float32)
