"""Attention: opened into scores, a softmax, and a mean of the values that the softmax weighs.

With its weights as the constants that the forward pass computed, attention is linear in its values (Ali et
al. 2022; Achtibat et al. 2024). The layers MultiHeadAttention, GroupedQueryAttention, Attention and
AdditiveAttention are opened by their own calls.
"""

from __future__ import annotations

import math
from typing import Any

from keras import KerasTensor, ops

from gazeback.cnn_trace.openings import register_opening

# What a masked score is set to: as Keras does, far below every score but finite.
_MASKED = -0.7 * 3.4e38


def _dot_product_attention(
    operation: Any,
    query: KerasTensor,
    key: KerasTensor,
    value: KerasTensor,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
) -> KerasTensor:
    """``keras.ops.dot_product_attention`` of ``[n, steps, heads, size]``, which Keras runs as one operator.

    One head of keys and values may serve several heads of queries.
    """
    served = query.shape[2] // key.shape[2]
    if served > 1:
        key, value = ops.repeat(key, served, axis=2), ops.repeat(value, served, axis=2)
    scale = 1 / math.sqrt(key.shape[3]) if scale is None else scale
    scores = ops.einsum("btnh,bsnh->bnts", query, key) * scale
    if bias is not None:
        scores = scores + bias
    if getattr(operation, "is_causal", False):
        before = _causal(scores)
        mask = before if mask is None else ops.logical_and(ops.cast(mask, "bool"), before)
    if mask is not None:
        scores = ops.where(ops.cast(mask, "bool"), scores, _MASKED)
    return ops.einsum("bnts,bsnh->btnh", ops.softmax(scores, axis=-1), value)


def _causal(scores: KerasTensor) -> KerasTensor:
    """Which steps come no later, bool ``[1, 1, T, S]``, also of sequences of any length."""
    ones = ops.ones_like(scores[:1, :1], dtype="int32")
    return ops.greater_equal(ops.cumsum(ones, axis=-2), ops.cumsum(ones, axis=-1))


register_opening("DotProductAttention", _dot_product_attention)
