"""The second look: the same answer, traced to the image at twice the size (docs/method.md, step 8).

Where the head pools the last map, a coefficient belongs to a channel and to no location. It then holds for a
map of any size, and the encoder can read the image once more, twice as large.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.fixations import Fixations, merged, resized
from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.head import Decomposition
from gazeback.cnn_trace.layout import as_stored, channels_last
from gazeback.cnn_trace.recording import Recording

# The power of the second net map beside the first: chosen on training photos.
_SECOND_POWER = 0.5
# Coefficients of a pooled map differ between its locations by rounding errors only.
_ROUNDING = 1e-4


def enlarged(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The inputs of a model with images of twice the height and width, bilinear.

    Raises:
        TraceError: it reads signals or volumes.
    """
    if len(graph.image_inputs[0].shape) != 4:
        raise TraceError(
            f"looks=2 needs images [n, height, width, channels], got {list(graph.image_inputs[0].shape)}; "
            "use looks=1"
        )
    found = []
    for tensor, array in zip(graph.inputs, arrays, strict=True):
        factors = (1, 1, 2, 2) if tensor.channels_first else (1, 2, 2, 1)
        is_image = tensor in graph.image_inputs
        found.append(zoom(array, factors, order=1, mode="nearest", grid_mode=True) if is_image else array)
    return found


def closer_head(head: Decomposition, recording: Recording) -> Decomposition:
    """The coefficients of pooled maps, for the larger maps of a second look.

    Args:
        head: of the first look.
        recording: of the second look.

    Raises:
        TraceError: the head does not pool a map.
    """
    maps = {tensor: _pooled(tensor, k, recording) for tensor, k in head.maps.items()}
    return Decomposition(maps, {}, np.zeros_like(head.bias))


def _pooled(tensor: Tensor, coefficients: np.ndarray, recording: Recording) -> np.ndarray:
    k = channels_last(tensor, coefficients)
    mean = k.mean(axis=(1, 2), keepdims=True)
    if np.abs(k - mean).max() > _ROUNDING * max(float(np.abs(k).max()), 1e-30):
        raise TraceError(
            f"looks=2 needs a model that averages its last map; here the answer weighs the locations of "
            f"{tensor.name!r} differently; use looks=1"
        )
    values = channels_last(tensor, recording[tensor])
    shape = (len(k), *values.shape[1:])
    share = k.shape[1] * k.shape[2] / (shape[1] * shape[2])
    return as_stored(tensor, np.broadcast_to(mean * share, shape))


def of_vector(reference: np.ndarray | None) -> np.ndarray | None:
    """The reference of maps of any size: the mean of a reference that is a map."""
    if reference is None or np.ndim(reference) == 1:
        return reference
    return np.asarray(reference, np.float32).mean(axis=(0, 1))


def both_looks(first: Fixations, second: Fixations) -> Fixations:
    """Combine the evidence of two looks: the mean of the spreads, the product of the net maps.

    Args:
        first: on the image; ``second``: on the image at twice the size.
    """
    if not len(first) or not len(second) or first.net is None or second.net is None:
        return first
    (pixels, weights), (finer, others) = first.pixels, second.pixels
    on_first = finer * first.shape // second.shape
    mean = np.concatenate([weights, others]) / 2
    found = merged(np.concatenate([pixels, on_first]), mean, first.shape)
    size = tuple(np.maximum(first.net.shape, second.net.shape))
    net = resized(first.net, size) * resized(second.net, size) ** _SECOND_POWER
    return first.with_spread(*found, net.astype(np.float32))
