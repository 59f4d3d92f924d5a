"""Occlusion sensitivity: the drop of a score when a window of the image is covered.

Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.models.errors import UserError

Fill = float | Literal["mean", "blur"]
Progress = Callable[[int, int], object]

BATCH = 32
SIZE, STRIDE = 32, 16
"""In pixels of an image of 224 x 224: a seventh of its side, and half of that."""


@compared
def occlusion(
    query: Query, size: int | None = None, stride: int | None = None, fill: Fill = "mean",
    score: str | None = None, progress: Progress | None = None,
) -> np.ndarray:  # fmt: skip
    """Measure how much the class's probability drops when a pixel is covered.

    Args:
        model, images, target, layer, output: as for :func:`gazeback.cnn_trace.trace`.
        size: side of the square window in pixels; by default a seventh of the image's shorter side.
        stride: its step in rows and columns, by default a fourteenth of that side; the last window ends at
            the edge.
        fill: the value of the window: a number in the model's own pixels, ``"mean"`` (the image's mean
            colour) or ``"blur"`` (the image blurred by half the window).
        score: ``"probability"``, ``"log-probability"`` or ``"logit"``; by default the probability, and for a
            neuron of a ``layer`` its value.
        progress: called as ``progress(done, total)`` with counts of occluded images.

    Returns:
        float32 ``[n, H, W]`` with sign: for each pixel the mean drop over the windows that cover it, 0 if
        none does (between windows whose stride is above their size).

    Raises:
        UserError, TraceError: a window, a fill, a target or an input that does not fit.
    """
    score = score or ("probability" if query.output_activation else "logit")
    before = ask(query, score=score)
    query = query.at_neurons(before.neurons)
    size, stride = (
        scaled(pixels, min(query.pixels.shape[1:3])) if given is None else given
        for pixels, given in ((SIZE, size), (STRIDE, stride))
    )
    corners = windows(query.pixels.shape[1:3], size, stride)
    drops = np.zeros((len(query.pixels), len(corners)), np.float32)
    done, total = 0, drops.size
    for image, pixels in enumerate(query.pixels):
        for chosen, covered in occluded(pixels, corners, size, fill):
            owner = np.full(len(covered), image)
            drops[image, chosen] = (
                before.scores[image] - ask(query.with_pixels(covered, owner), score=score).scores
            )
            done += len(covered)
            if progress is not None:
                progress(done, total)
    return spread(drops, corners, size, query.pixels.shape[1:3])


def scaled(pixels: int, side: int) -> int:
    """A length in an image of 224 x 224 as one in an image of another side."""
    return max(1, round(pixels * side / 224))


def windows(shape: tuple[int, ...], size: int, stride: int) -> np.ndarray:
    """The upper left corners int ``[m, 2]`` (row, column) of all windows in an image ``(H, W)``."""
    if stride < 1 or not 1 <= size <= min(shape):
        raise UserError(
            f"expected a window of 1 to {min(shape)} pixels and a stride of at least 1, got size={size}, "
            f"stride={stride}"
        )
    starts = [sorted({*range(0, side - size + 1, stride), side - size}) for side in shape]
    return np.array([(row, column) for row in starts[0] for column in starts[1]])


def occluded(
    pixels: np.ndarray, corners: np.ndarray, size: int, fill: Fill
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield an image ``[H, W, C]`` with one window covered at a time.

    Batches are ``[b, H, W, C]``, each with the slice of the corners that it covers.
    """
    cover = _cover(pixels, size, fill)
    for first in range(0, len(corners), BATCH):
        chosen = slice(first, min(first + BATCH, len(corners)))
        covered = np.repeat(pixels[None], len(corners[chosen]), axis=0)
        for copy, (row, column) in zip(covered, corners[chosen], strict=True):
            window = slice(row, row + size), slice(column, column + size)
            copy[window] = cover[window]
        yield chosen, covered


def spread(drops: np.ndarray, corners: np.ndarray, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """Turn drops ``[n, m]`` of windows into maps float32 ``[n, H, W]``: the mean over the windows on each
    pixel."""
    total = np.zeros((len(drops), *shape))
    count = np.zeros(shape)
    for drop, (row, column) in zip(drops.T, corners, strict=True):
        window = slice(row, row + size), slice(column, column + size)
        total[:, *window] += drop[:, None, None]
        count[window] += 1
    return np.divide(total, count, out=total, where=count > 0).astype(np.float32)


def _cover(pixels: np.ndarray, size: int, fill: Fill) -> np.ndarray:
    """The image that covers the windows, float32 ``[H, W, C]``."""
    if isinstance(fill, str):
        if fill == "mean":
            return np.broadcast_to(pixels.mean(axis=(0, 1)), pixels.shape)
        if fill == "blur":
            return gaussian_filter(pixels, (size / 2, size / 2, 0))
        raise UserError(f"fill must be a number, 'mean' or 'blur', got {fill!r}")
    return np.full_like(pixels, fill)
