"""Which tensors are maps: rank 4, with rows and columns of the image, not with tokens and heads."""

from __future__ import annotations

from gazeback.cnn_trace.graph import Call, Graph, Tensor

# Layers and operators that look around in rows and columns: what they read and make are maps.
_SPATIAL = ("Conv", "Pool", "UpSampling", "Resiz", "Cropping", "CenterCrop", "ZeroPadding", "ExtractPatches")

# Sums of products: rows and columns that they leave alone are still there.
_CONTRACTING = ("EinsumDense", "Einsum", "Matmul", "Dot", "Tensordot")


def mark_maps(graph: Graph) -> None:
    """Note on every tensor of rank 4 or more whether it has rows and columns of a picture.

    Query, keys and values of attention, ``[n, tokens, heads, size]``, have not. Tokens become a map again by
    a reshape that keeps their last axis.
    """
    for call in graph.calls:
        for output in call.outputs:
            output.spatial = len(output.shape) < 4 or _is_spatial(call, output)
    for call in reversed(graph.calls):
        if _looks_around(call):
            _mark_above(call)


def _is_spatial(call: Call, output: Tensor) -> bool:
    name = type(call.operation).__name__
    sources = [t for t in call.inputs if len(t.shape) >= 4 and t.spatial]
    if _looks_around(call) or not call.inputs:
        return True
    if name in _CONTRACTING:
        return any(t.shape[1:3] == output.shape[1:3] for t in sources)
    if name == "Reshape":
        before = call.inputs[0]
        same_end = before.shape[-1] == output.shape[-1]
        return (
            len(before.shape) in (2, 5) or (len(before.shape) == 3 and same_end) or bool(sources and same_end)
        )
    return bool(sources)


def _looks_around(call: Call) -> bool:
    name = type(call.operation).__name__
    return any(part in name for part in _SPATIAL) and not name.startswith("Global")


def _mark_above(call: Call) -> None:
    """What a spatial layer reads is a map, and so is what was only computed in place before it."""
    stack = [t for t in call.inputs if len(t.shape) >= 4 and not t.spatial]
    while stack:
        tensor = stack.pop()
        tensor.spatial = True
        if tensor.call is not None:
            stack += [t for t in tensor.call.inputs if t.shape == tensor.shape and not t.spatial]
