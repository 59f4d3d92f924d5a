"""Methods that use the gradient of a neuron with respect to the pixels.

The arguments ``model``, ``images``, ``target``, ``layer`` and ``output`` are those of
:func:`gazeback.cnn_trace.trace`. With ``raw=True`` the result keeps its channels and its sign: float32
``[n, H, W, C]``. A target, an input or an option that does not fit raises UserError or TraceError.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from gazeback.eval.baselines.backward import BATCH, ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.models.errors import UserError


@partial(compared, any_rank=True)
def saliency(query: Query, raw: bool = False) -> np.ndarray:
    """Gradient saliency: Simonyan, Vedaldi, Zisserman, *Deep Inside Convolutional Networks*, 2014, section
    3.1.

    Returns:
        float32 ``[n, H, W]``: the largest magnitude of the gradient among the channels.
    """
    gradient = _gradient(query)
    return gradient if raw else np.abs(gradient).max(axis=-1)


@partial(compared, any_rank=True)
def gradient_input(query: Query, raw: bool = False) -> np.ndarray:
    """Gradient times input: Shrikumar, Greenside, Shcherbina, Kundaje, *Not Just a Black Box*, arXiv
    1605.01713.

    Returns:
        float32 ``[n, H, W]`` with sign: the sum over the channels of gradient times pixel.
    """
    product = _gradient(query) * query.pixels
    return product if raw else product.sum(axis=-1)


@compared
def smoothgrad(
    query: Query, samples: int = 50, noise: float = 0.15, seed: int = 0, raw: bool = False
) -> np.ndarray:
    """SmoothGrad: Smilkov, Thorat, Kim, Viégas, Wattenberg, arXiv 1706.03825.

    Args:
        samples: the number of noisy copies of each image.
        noise: standard deviation of the Gaussian noise, as a fraction of the image's range.
        seed: the seed of the noise.

    Returns:
        float32 ``[n, H, W]``: the largest magnitude of the mean gradient among the channels.
    """
    if samples < 1 or noise < 0:
        raise UserError(f"expected samples >= 1 and noise >= 0, got {samples} and {noise}")
    query = _settled(query)
    random = np.random.default_rng(seed)
    spread = noise * np.ptp(query.pixels, axis=(1, 2, 3), keepdims=True)
    total = np.zeros(query.pixels.shape, np.float64)
    for image, _ in _in_batches(len(total), samples):
        drawn = random.normal(size=(len(image), *total.shape[1:])) * spread[image]
        noisy = (query.pixels[image] + drawn).astype(np.float32)
        np.add.at(total, image, _gradient(query.with_pixels(noisy, image)))
    mean = (total / samples).astype(np.float32)
    return mean if raw else np.abs(mean).max(axis=-1)


@compared
def integrated_gradients(
    query: Query, baseline: float | np.ndarray = 0.0, steps: int = 64, raw: bool = False
) -> np.ndarray:
    """Integrated gradients: Sundararajan, Taly, Yan, *Axiomatic Attribution for Deep Networks*, ICML 2017,
    equation 1.

    The integral is a sum over the midpoints of equal steps (equation 3 uses their ends).

    Args:
        baseline: the images that are compared with: a number or an array that broadcasts to ``[n, H, W, C]``.
        steps: the number of steps of the integral.

    Returns:
        float32 ``[n, H, W]`` with sign: the sum over the channels. The sum over all pixels approaches the
        score of the image minus that of the baseline as the steps increase.
    """
    if steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    query = _settled(query)
    start = _baseline(baseline, query.pixels.shape)
    difference = query.pixels - start
    total = np.zeros(difference.shape, np.float64)
    for image, step in _in_batches(len(total), steps):
        way = ((step + 0.5) / steps).astype(np.float32)[:, None, None, None]
        between = start[image] + way * difference[image]
        np.add.at(total, image, _gradient(query.with_pixels(between, image)))
    product = (total / steps * difference).astype(np.float32)
    return product if raw else product.sum(axis=-1)


def _gradient(query: Query) -> np.ndarray:
    return ask(query, [query.image]).gradients[0]


def _settled(query: Query) -> Query:
    """Fix the query to the neurons of the unchanged images, so that changed copies do not choose others."""
    return query.at_neurons(ask(query).neurons)


def _in_batches(images: int, repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Repeat every image, in batches: (index of the image, index of the repeat)."""
    for first in range(0, images * repeats, BATCH):
        yield np.divmod(np.arange(first, min(first + BATCH, images * repeats)), repeats)


def _baseline(baseline: Any, shape: tuple[int, ...]) -> np.ndarray:
    given = np.asarray(baseline, np.float32)
    try:
        return np.broadcast_to(given, shape)
    except ValueError:
        raise UserError(
            f"the baseline must be a number or fit the images {list(shape)}, got {list(given.shape)}"
        ) from None
