"""Where evidence starts: the hand-off maps, and the weights of their neurons.

See docs/method.md, steps 3 to 6.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.fixations import resized
from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.head import Decomposition, decompose_all
from gazeback.cnn_trace.layout import channels_last, columns_as_stored, shape_last
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.selection import CNNFixations

# Blur of finer net maps, as a fraction of their diagonal: chosen on training photos.
FINER_BLUR = 0.03


def hand_off(
    head: Decomposition,
    recording: Recording,
    image: np.ndarray,
    questions: int,
    selection: CNNFixations,
    reference: np.ndarray | None,
) -> tuple[dict[Tensor, Evidence], dict[Tensor, np.ndarray]]:
    """Reference, net per location, the neurons where evidence starts (docs/method.md, steps 3 to 5).

    Args:
        head: of the questions of all images, one after another.
        recording: with the values of the hand-off maps.
        image: the image of each question.
        questions: their number for each image.
        selection: says which neurons.
        reference: as in `Options`.

    Returns:
        Evidence on each hand-off map, with weights that sum to 1 for each question, and its net map
        ``[questions, h, w]``.
    """
    masses, nets = [], {}
    for tensor, coefficients in head.maps.items():
        values = channels_last(tensor, recording[tensor])
        difference = values - _reference(reference, values.shape[1:])
        positive, nets[tensor] = net_per_location(channels_last(tensor, coefficients) * difference[image])
        masses.append(positive.reshape(len(positive), -1))
    mass = np.concatenate(masses, axis=1)
    found = [selection.start(mass[i : i + questions]) for i in range(0, len(mass), questions)]
    owner = np.repeat(image[::questions], [len(elements) for elements, _ in found])
    elements = np.concatenate([elements for elements, _ in found])
    weights = np.concatenate([weights for _, weights in found])
    handed, start = {}, 0
    for tensor, part in zip(head.maps, masses, strict=True):
        end = start + part.shape[1]
        here = (elements >= start) & (elements < end)
        place = np.unravel_index(elements[here] - start, shape_last(tensor, recording.shapes[tensor])[1:])
        coordinates = columns_as_stored(tensor, np.column_stack([owner[here], *place]))
        handed[tensor] = Evidence.of(coordinates, weights[here])
        start = end
    return handed, nets


def narrowed(
    graph: Graph, recording: Recording, head: Decomposition, nets: dict[Tensor, np.ndarray],
    image: np.ndarray, finer: dict[Tensor, list[Tensor]],
) -> dict[Tensor, np.ndarray]:  # fmt: skip
    """Narrow net maps by those of finer maps before the hand-off (docs/method.md, step 6).

    The sum is exact at every map that all evidence passes: the hand-off map's net times the geometric mean
    of the n finer ones, ``net = net_0 * (net_1 * ... * net_n) ** (1 / n)``. The finer ones are blurred, and
    all upsampled to the finest grid.

    Args:
        recording: with the values of the finer maps, and all that leads from them to the hand-off maps.
        head: of the questions of all images, one after another; ``image``: the image of each question.
        nets: of the hand-off maps, ``[questions, h, w]``.
        finer: the maps before each hand-off map, from coarse to fine.
    """
    return {
        tensor: _product(net, _finer_nets(graph, recording, tensor, head.maps[tensor], image, finer[tensor]))
        for tensor, net in nets.items()
    }


def _finer_nets(
    graph: Graph, recording: Recording, tensor: Tensor, coefficients: np.ndarray, image: np.ndarray,
    finer: list[Tensor],
) -> list[np.ndarray]:  # fmt: skip
    found, coefficients = [], coefficients.astype(np.float32)
    for before in finer:
        below = decompose_all(graph, recording, {tensor: coefficients}, image, frozenset([before]))
        tensor, coefficients = before, below.maps[before]
        values = channels_last(tensor, recording[tensor])[image]
        relevance = np.einsum("n...c,n...c->n...", channels_last(tensor, coefficients), values)
        sigma = FINER_BLUR * float(np.linalg.norm(relevance.shape[1:]))
        found.append(
            gaussian_filter(
                np.maximum(relevance, 0), sigma, mode="nearest", axes=tuple(range(1, relevance.ndim))
            )
        )
    return found


def _product(net: np.ndarray, finer: list[np.ndarray]) -> np.ndarray:
    """``net * (finer_1 * ... * finer_n) ** (1 / n)`` on the finest grid; ``net`` where nothing is left."""
    size = finer[-1].shape if finer else net.shape
    product = first = resized(net, size)
    for one in finer:
        product = product * resized(one, size) ** (1 / len(finer))
    return np.where(product.any(axis=tuple(range(1, product.ndim)), keepdims=True), product, first)


def _reference(reference: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if reference is None:
        return np.zeros(1, np.float32)
    reference = np.asarray(reference, np.float32)
    if reference.shape not in ((shape[-1],), shape):
        raise TraceError(
            f"the reference must have the shape [{shape[-1]}] or {list(shape)} of the hand-off map, "
            f"got {list(reference.shape)}"
        )
    return reference


def net_per_location(relevance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the relevance of each location that remains after its channels cancel (docs/method.md, step 4).

    ``net[y, x] = max(0, sum_c R[y, x, c])`` is split among the positive channels in proportion.

    Args:
        relevance: R, ``[questions, height, width, channels]``.

    Returns:
        The parts of the channels, of the same shape, and the net map ``[questions, height, width]``.
    """
    net = np.maximum(relevance.sum(axis=-1), 0)
    positive = np.maximum(relevance, 0)
    total = positive.sum(axis=-1)
    scale = np.divide(net, total, out=np.zeros_like(net), where=total > 0)
    positive *= scale[..., None]
    return positive, net


def carrying(mass: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Select the neurons that carry the top share of each question's mass.

    Args:
        mass: ``[questions, elements]``, not negative.
        share: in (0, 1].

    Returns:
        Elements int ``[n]`` and their weights ``[n, questions]``; those of a question sum to 1.
    """
    chosen = [strongest(row, share) for row in mass]
    elements = np.unique(np.concatenate(chosen))
    weights = np.zeros((len(elements), len(mass)))
    for question, (row, kept) in enumerate(zip(mass, chosen, strict=True)):
        weights[np.searchsorted(elements, kept), question] = row[kept]
    return elements, weights / np.maximum(weights.sum(axis=0), 1e-30)


def check_share(share: float) -> None:
    """Raise TraceError unless the share is above 0 and at most 1."""
    if not 0 < share <= 1:
        raise TraceError(f"share must be above 0 and at most 1, got {share}")


def strongest(mass: np.ndarray, share: float) -> np.ndarray:
    """Find the elements that carry the top ``share`` of the sum (step 5): flat indices, the smallest last."""
    flat = mass.ravel()
    total = float(flat.sum(dtype=np.float64))
    if not total:
        return np.zeros(0, np.int64)
    floor = float(flat.max())
    while True:
        # Sorting a whole map takes longer than the walk; usually a few of its neurons are enough.
        floor = floor / 16 if floor > 1e-6 * float(flat.max()) else 0.0
        candidates = np.flatnonzero(flat > floor)
        values = flat[candidates]
        if not floor or float(values.sum(dtype=np.float64)) >= share * total:
            break
    falling = np.sort(values)[::-1]
    count = int(np.searchsorted(np.cumsum(falling, dtype=np.float64), share * total * (1 - 1e-9))) + 1
    smallest = falling[min(count, len(falling)) - 1]
    larger = candidates[values > smallest]
    return np.concatenate([larger, candidates[values == smallest][: count - len(larger)]])
