"""Oversampling: trace the four corner crops and the centre crop of a larger image, and merge the results.

Source: the published code of *CNN Fixations* (IEEE TIP 2018) resizes a picture to 256x256 and traces five
crops of the network's input size. Their fixations are merged on the picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.fixations import Fixations, merged, resized
from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.targets import named_neurons

CROPS = 5


def crops(graph: Graph, images: Any) -> tuple[np.ndarray, list[tuple[int, int]], tuple[int, int]]:
    """Cut the five crops of every image, image by image: ``[n * 5, height, width, channels]``.

    Returns:
        The crops, the (row, column) of each in the image, and the image's (height, width).

    Raises:
        TraceError: the model has several inputs, or its input size is not fixed or larger than the images.
    """
    is_one = len(graph.inputs) == 1 and len(graph.inputs[0].shape) == 4
    if not is_one or graph.inputs[0].channels_first:
        raise TraceError("oversample=True needs a model with one image input, its channels last")
    height, width = graph.inputs[0].shape[1:3]
    array = np.asarray(images)
    array = array[None] if array.ndim == 3 else array
    if height is None or width is None:
        raise TraceError(
            "oversample=True needs a model whose input has a fixed size; this one takes any size"
        )
    down, right = np.subtract(array.shape[1:3], (height, width)) if array.ndim == 4 else (0, 0)
    if min(down, right) < 0 or max(down, right) == 0:
        raise TraceError(
            f"oversample=True takes crops of {height}x{width} from larger images [n, height, width, "
            f"channels] (published: 256x256 for 224x224), got {list(array.shape)}"
        )
    offsets = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    cut = np.stack([array[:, y : y + height, x : x + width] for y, x in offsets], axis=1)
    return cut.reshape(-1, *cut.shape[2:]), [(int(y), int(x)) for y, x in offsets], array.shape[1:3]


def agreed_neurons(start: Tensor, target: Any, recording: Recording) -> np.ndarray:
    """Find the neurons that a target names; the strongest class is that of the mean over the crops."""
    values = recording[start]
    if isinstance(target, np.ndarray):
        target = np.repeat(target, CROPS)
    if values.ndim == 2:
        mean = values.reshape(-1, CROPS, values.shape[1]).mean(axis=1)
        values = np.repeat(mean, CROPS, axis=0)
        recording = replace(recording, values={**recording.values, start: values})
    return named_neurons(start, target, recording)


def united(parts: list[Fixations], offsets: list[tuple[int, int]], shape: tuple[int, int]) -> Fixations:
    """Merge the fixations of one image's crops on the image; weights of 1 stay 1.

    The net map is, at each pixel, the mean over the crops that contain it.
    """
    pixels = [part.pixels for part in parts]
    points = np.concatenate([places + offset for (places, _), offset in zip(pixels, offsets, strict=True)])
    weights = np.concatenate([weights for _, weights in pixels]) / CROPS
    points, weights = merged(points, weights, shape)
    if not any(part.is_spread for part in parts) and all(part.net is None for part in parts):
        return Fixations(points, np.ones(len(points)), shape)
    make = Fixations.of_spread if any(part.is_spread for part in parts) else Fixations
    return make(points, weights, shape, _mean_net(parts, offsets, shape))


def _mean_net(
    parts: list[Fixations], offsets: list[tuple[int, int]], shape: tuple[int, int]
) -> np.ndarray | None:
    nets = [part.net for part in parts if part.net is not None]
    if not nets:
        return None
    total, seen = np.zeros(shape), np.zeros(shape)
    height, width = parts[0].shape
    for net, (y, x) in zip(nets, offsets, strict=True):
        place = np.s_[y : y + height, x : x + width]
        total[place] += resized(net, (height, width))
        seen[place] += 1
    mean: np.ndarray = (total / np.maximum(seen, 1)).astype(np.float32)
    return mean
