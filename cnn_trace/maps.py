"""Find the tensors that are maps: with rows and columns of the image, not with tokens and heads.

Maps of images have rank 4, of signals rank 3, of volumes rank 5; of frames both 4 and 5.
"""

from __future__ import annotations

from gazeback.cnn_trace.graph import Call, Graph, Tensor

# Layers and operators that act on rows and columns: their inputs and outputs are maps.
_SPATIAL = ("Conv", "Pool", "UpSampling", "Resiz", "Cropping", "CenterCrop", "ZeroPadding", "ExtractPatches")

# Sums of products, which may keep rows and columns.
_CONTRACTING = ("EinsumDense", "Einsum", "Matmul", "Dot", "Tensordot")

# A step of their output has seen all steps before.
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


def mark_maps(graph: Graph) -> None:
    """Note on every tensor whether it can be a map: of rank 4 or more, or in a model of signals 3.

    Queries, keys and values of attention, ``[n, tokens, heads, size]``, do not. A reshape of tokens that
    keeps their last axis makes a map again.
    """
    rank = len(graph.image_inputs[0].shape) if graph.image_inputs else 4
    ranks = (4, 5) if rank == 5 else (rank,)
    for tensor in graph.inputs:
        tensor.map_ranks = ranks
    for call in graph.calls:
        for output in call.outputs:
            output.map_ranks = ranks
            output.spatial = len(output.shape) < min(ranks) or _is_spatial(call, output)
    for call in reversed(graph.calls):
        if _looks_around(call):
            _mark_above(call)


def _is_spatial(call: Call, output: Tensor) -> bool:
    name = type(call.operation).__name__
    sources = [t for t in call.inputs if len(t.shape) >= min(output.map_ranks) and t.spatial]
    if name in _RECURRENT:
        return False
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
    """Mark the inputs of a spatial layer as maps, and the tensors before it that were only computed in
    place."""
    stack = [t for t in call.inputs if len(t.shape) >= 4 and not t.spatial]
    while stack:
        tensor = stack.pop()
        tensor.spatial = True
        if tensor.call is not None:
            stack += [t for t in tensor.call.inputs if t.shape == tensor.shape and not t.spatial]
