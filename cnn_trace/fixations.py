"""Fixations: the pixels that an answer was traced to, and boxes, masks and heat maps of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, label, map_coordinates
from scipy.spatial import KDTree

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.neurons import Evidence

# Blur of a heat map as a fraction of the image's diagonal, for points and for spread evidence.
DEFAULT_BLUR, SPREAD_BLUR = 0.04, 0.025
# The points of spread evidence carry so much of its weight, and are at most so many.
_CARRIED, MOST_POINTS = 0.9, 400
# The side of the grid on which the evidence of questions is compared.
_COMPARED = 112
# Heat maps of larger images are blurred on a smaller grid; after the blur the difference is invisible.
_GRID_SIDE = 320
# Where a heat map's region ends, as a fraction of its maximum: chosen on training photos, where the regions
# then fit the phrases' boxes best.
REGION = 0.02


@dataclass(frozen=True, repr=False)
class Fixations:
    """The evidence of one question on one image.

    Attributes:
        points: int64 ``[n, axes]``, unique (row, column) in pixels of the image; of a signal (place,), of a
            volume (depth, row, column). With ``method="evidence"`` they are the pixels that carry the top
            90 % of the weight, at most 400. If it takes more, the heaviest pixel stands for its neighbours.
        weights: float64 ``[n]``. With ``method="evidence"`` they sum to 1; the published methods give 1 each.
        shape: (height, width) of the image in pixels; of a signal (length,), of a volume (depth, height,
            width).
        net: float32, as many axes, or None: the net relevance of each location of the hand-off map.
    """

    points: np.ndarray
    weights: np.ndarray
    shape: tuple[int, ...]
    net: np.ndarray | None = None
    _spread: tuple[np.ndarray, np.ndarray] | None = field(default=None, compare=False)
    _layers: Callable[[str], Evidence] | None = field(default=None, compare=False)
    _inputs: Callable[[str], Fixations] | None = field(default=None, compare=False)

    @classmethod
    def of_spread(
        cls,
        pixels: np.ndarray,
        weights: np.ndarray,
        shape: tuple[int, ...],
        net: np.ndarray | None = None,
        **known: Any,
    ) -> Fixations:
        """Select the points of evidence that lies on many pixels: those where its weight times the net map is
        largest.

        Args:
            pixels: int64 ``[n, axes]``, unique; ``weights``: float64 ``[n]``.
            shape, net: see the attributes.
            known: the functions behind :meth:`at` and :meth:`at_input`.
        """
        mass = weights if net is None else weights * _sampled(net, pixels, shape)
        points, carried = _carrying(pixels, mass, shape)
        carried = carried * (weights.sum() / max(carried.sum(), 1e-300))
        return cls(points, carried, shape, net, (pixels, weights), **known)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def is_spread(self) -> bool:
        """Whether the evidence lies on more pixels than the points."""
        return self._spread is not None

    @property
    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """All pixels with evidence, int64 ``[n, axes]``, and their weights ``[n]``.

        The points are selected from them.
        """
        return (self.points, self.weights) if self._spread is None else self._spread

    def at(self, layer: str) -> Evidence:
        """Return the evidence at a layer's output: coordinates ``[n, 3]`` (row, column, channel), weights
        ``[n]``.

        Raises:
            TraceError: the model has no such layer, or the walk did not pass it.
        """
        if self._layers is None:
            raise TraceError("these fixations no longer know the layers they came through")
        return self._layers(layer)

    def at_input(self, name: str) -> Fixations:
        """Return the fixations of the same question on another image input of the model, by the input's name.

        With ``method="evidence"`` the weights of all inputs together sum to 1. The sum on one input is its
        fraction of the evidence.

        Raises:
            TraceError: the model has no image input of this name.
        """
        if self._inputs is None:
            raise TraceError("these fixations no longer know the inputs of their model")
        return self._inputs(name)

    def without_outliers(self, share: float = 0.05, radius: float = 0.1) -> Fixations:
        """Keep a point if more than ``share`` of all points are within ``radius`` (a fraction of the
        diagonal) of it.

        Source: *CNN Fixations* (IEEE TIP 2018), section IV-A.
        """
        if not len(self):
            return self
        reach = radius * _diagonal(self.shape)
        near = KDTree(self.points).query_ball_point(self.points, reach, return_length=True)
        kept = near > share * len(self)
        return replace(self, points=self.points[kept], weights=self.weights[kept], _spread=None)

    def heatmap(self, sigma: float | None = None) -> np.ndarray:
        """Blur the evidence by a Gaussian, and multiply by the net map if there is one.

        Args:
            sigma: the blur in pixels of the image; by default 2.5 % of its diagonal with
                ``method="evidence"``, 4 % with the other methods.

        Returns:
            float32 ``[height, width]``, 0 to 1; all 0 if there are no points.
        """
        full = resized(self._heat(sigma), self.shape)
        peak = full.max()
        return (full / peak if peak > 0 else full).astype(np.float32)

    def _heat(self, sigma: float | None) -> np.ndarray:
        """Compute the heat map before scaling, on a grid that is as fine as the blur needs."""
        grid = _grid(self.shape, _GRID_SIDE)
        if sigma is None:
            blur = DEFAULT_BLUR if self._spread is None else SPREAD_BLUR
            sigma = blur * _diagonal(self.shape)
        blurred = _blurred(*self.pixels, self.shape, grid, sigma)
        return blurred if self.net is None else blurred * resized(self.net, grid)

    def box(self, threshold: float | None = None) -> list[float] | None:
        """Return a box ``[x, y, width, height]`` in pixels; None without points.

        Of a signal ``[start, length]``, of a volume ``[x, y, z, width, height, depth]``.

        Args:
            threshold: None gives the tight box around all points, as published. A number is a fraction of the
                heat map's maximum, and gives the box of the heaviest connected region that reaches it.
        """
        if not len(self):
            return None
        if threshold is None:
            first, last = self.points.min(axis=0), self.points.max(axis=0) + 1
        else:
            heat = self._heat(None)
            region = heaviest_region(heat, threshold * heat.max())
            cell = np.divide(self.shape, heat.shape)
            first, last = cell * [axis.start for axis in region], cell * [axis.stop for axis in region]
        return [float(x) for x in (*first[::-1], *(last - first)[::-1])]

    @cached_property
    def region(self) -> list[float] | None:
        """The :meth:`box` of the heaviest region that reaches `REGION`, as page and JSON have it."""
        return self.box(REGION)

    def mask(self, threshold: float) -> np.ndarray:
        """Mark the pixels where the heat map reaches the threshold (a fraction of its maximum): bool
        ``[height, width]``."""
        return self.heatmap() >= threshold

    def mapped(self, to_photo: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int]) -> Fixations:
        """Map the evidence to the photo that the image was made from.

        Args:
            to_photo: maps points, float ``[n, 2]`` (row, column), to photo pixels.
            shape: (height, width) of the photo in pixels.
        """

        def moved(pixels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            places = np.rint(to_photo(pixels.astype(np.float64))).astype(np.int64)
            return merged(np.clip(places, 0, np.subtract(shape, 1)), weights, shape)

        points, weights = moved(self.points, self.weights)
        spread = None if self._spread is None else moved(*self._spread)
        return replace(self, points=points, weights=weights, shape=shape, _spread=spread)

    def against(self, own: np.ndarray, others: np.ndarray, share: float) -> Fixations:
        """Subtract a share of other questions' evidence, see :func:`against_others`.

        Args:
            own, others: densities ``[h, w]`` over the whole image.
        """
        pixels, weights = self.pixels
        cells = tuple(((pixels + 0.5) * np.divide(own.shape, self.shape)).astype(int).T)
        here = own[cells]
        left = np.maximum(here - share * others[cells], 0) / np.maximum(here, 1e-300)
        if not (weights * left).any():
            return self
        weights = weights * left * (weights.sum() / (weights * left).sum())
        return self.with_spread(pixels[left > 0], weights[left > 0], self.net)

    def with_spread(self, pixels: np.ndarray, weights: np.ndarray, net: np.ndarray | None) -> Fixations:
        """Replace the evidence of the same question; see :meth:`of_spread`."""
        known = {"_layers": self._layers, "_inputs": self._inputs}
        return Fixations.of_spread(pixels, weights, self.shape, net, **known)

    def __repr__(self) -> str:
        return f"<Fixations: {len(self.points)} points on {' x '.join(map(str, self.shape))}>"

    def _repr_html_(self) -> str:
        from gazeback.cnn_trace.notebook import draw_heat, figure_html

        box = self.box()
        where = "" if box is None else f", box {', '.join(f'{side:g}' for side in box)}"
        text = f"{len(self)} points on {' by '.join(map(str, self.shape))} pixels{where}"
        if len(self.shape) == 2:
            return figure_html(draw_heat(self.heatmap(), self.points), text)
        blank = np.zeros(self.shape if len(self.shape) > 1 else (*self.shape, 1))
        return figure_html(self.plot(blank), text)

    def plot(self, photo: Any) -> Any:
        """Draw a Matplotlib figure: the photo, the points on it, the heat map on it.

        A signal is drawn as curves over the heat map. Of a volume or of frames, the slice with the most
        weight is drawn.

        Args:
            photo: ``[height, width, 3]`` (or grey ``[height, width]``), uint8, or float from 0 to 1; a signal
                ``[length, channels]``; a volume or frames with a first axis more.
        """
        if len(self.shape) == 1:
            return self._curves(np.asarray(photo))
        if len(self.shape) == 3:
            here = int(np.bincount(self.points[:, 0], self.weights, 1).argmax())
            return self._slice(here)._of_slice(self.heatmap()[here], np.asarray(photo)[here])
        return self._of_slice(self.heatmap(), photo)

    def _curves(self, signal: np.ndarray) -> Any:
        """Draw the channels of a signal ``[length, channels]``, the points below and the heat behind them."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        panel = figure.subplots()
        panel.plot(signal, color="black", linewidth=0.8)
        low, high = panel.get_ylim()
        span = (-0.5, self.shape[0] - 0.5, low, high)
        panel.imshow(self.heatmap()[None], cmap="Reds", extent=span, aspect="auto", alpha=0.6, vmax=1)
        panel.scatter(self.points[:, 0], np.full(len(self), low), s=12, c="red", linewidths=0, clip_on=False)
        return figure

    def _slice(self, here: int) -> Fixations:
        """The points of one slice of a volume."""
        inside = self.points[:, 0] == here
        return Fixations(self.points[inside, 1:], self.weights[inside], self.shape[1:])

    def _of_slice(self, heat: np.ndarray, photo: Any) -> Any:
        """Draw an image, its points and its heat map."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        panels, extent = figure.subplots(1, 3), (0, self.shape[1], self.shape[0], 0)
        for panel in panels:
            panel.imshow(photo, cmap="gray", extent=extent)
            panel.set_axis_off()
        size = 4 + 20 * self.weights / max(self.weights.max(initial=0), 1e-12)
        at = self.points + 0.5  # the middle of a pixel
        panels[1].scatter(at[:, 1], at[:, 0], s=size, c="red", linewidths=0)
        panels[2].imshow(heat, cmap="inferno", alpha=0.25 + 0.6 * heat, extent=extent)
        return figure


def against_others(found: Sequence[Fixations], share: float) -> list[Fixations]:
    """Subtract from the evidence of each question a share of the mean evidence of the other questions.

    What all questions have in common says little about one of them. Evidence is compared as densities
    (blurred, sums of 1); what would fall below 0 is 0.

    Args:
        found: the spread evidence of questions about one image.
        share: 0 subtracts nothing.
    """
    if not share or len(found) < 2:
        return list(found)
    maps = np.stack([_density(one) for one in found])
    others = (maps.sum(axis=0) - maps) / (len(maps) - 1)
    return [
        one.against(own, other, share) if len(one) else one
        for one, own, other in zip(found, maps, others, strict=True)
    ]


def _density(found: Fixations) -> np.ndarray:
    sigma = SPREAD_BLUR * _diagonal(found.shape)
    blurred = _blurred(*found.pixels, found.shape, _grid(found.shape, _COMPARED), sigma)
    return blurred / max(blurred.sum(), 1e-300)


def _diagonal(shape: tuple[int, ...]) -> float:
    return float(np.linalg.norm(shape))


def _grid(shape: tuple[int, ...], side: int) -> tuple[int, ...]:
    """A grid over an image, no side longer than this."""
    scale = min(1.0, side / max(shape))
    return tuple(max(1, round(length * scale)) for length in shape)


def _blurred(
    pixels: np.ndarray, weights: np.ndarray, shape: tuple[int, ...], grid: tuple[int, ...], sigma: float
) -> np.ndarray:
    """The weights on a coarser grid, blurred by ``sigma`` pixels of the image."""
    scale = np.divide(grid, shape)
    cells = np.minimum(((pixels + 0.5) * scale).astype(int), np.subtract(grid, 1))
    counts = np.bincount(np.ravel_multi_index(tuple(cells.T), grid), weights, math.prod(grid)).reshape(grid)
    return gaussian_filter(counts, sigma * scale, mode="constant")


def _sampled(values: np.ndarray, pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values of a map ``[h, w]`` over the image at some pixels, bilinear."""
    places = (pixels + 0.5) * np.divide(values.shape, shape) - 0.5
    return map_coordinates(values.astype(np.float64), places.T, order=1, mode="nearest")


def _carrying(pixels: np.ndarray, mass: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that carry the top 90 % of a mass, in order of rows; neighbours are merged until they are at
    most ``MOST_POINTS``.
    """
    if not mass.any():
        return pixels[:0], mass[:0]
    # Equal masses may differ in their last digits; rounded, their order is that of the pixels.
    mass = np.round(mass / mass.max(), 5)
    total = mass.sum()
    cell, heaviest = 1, np.argsort(-mass, kind="stable")
    while True:
        cells = np.ravel_multi_index(tuple((pixels // cell).T), tuple(side // cell + 1 for side in shape))
        _, first, index = np.unique(cells[heaviest], return_index=True, return_inverse=True)
        sums = np.bincount(index, mass[heaviest])
        order = np.argsort(-np.round(sums, 5), kind="stable")
        count = int(np.searchsorted(np.cumsum(sums[order]), _CARRIED * total * (1 - 1e-9))) + 1
        if count <= MOST_POINTS:
            kept = order[: min(count, len(order))]
            return merged(pixels[heaviest[first[kept]]], sums[kept], shape)
        cell *= 2


def heaviest_region(heat: np.ndarray, level: float) -> tuple[slice, ...]:
    """Find the rows and columns of the connected region of ``heat >= level`` with the most heat."""
    regions, count = label(heat >= level)
    heaviest = int(np.argmax(np.bincount(regions.ravel(), heat.ravel(), count + 1)[1:]))
    region: tuple[slice, ...] = find_objects(regions)[heaviest]
    return region


def resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize ``[h, w]`` bilinearly, pixel areas aligned, edges repeated, negative values set to 0."""
    if values.shape == tuple(shape):
        return values
    for axis, (cells, wanted) in enumerate(zip(values.shape, shape, strict=True)):
        places = np.clip((np.arange(wanted) + 0.5) * cells / wanted - 0.5, 0, cells - 1)
        low = np.minimum(places.astype(int), max(cells - 2, 0))
        high = np.minimum(low + 1, cells - 1)
        part = (places - low).reshape([-1 if one == axis else 1 for one in range(values.ndim)])
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return np.maximum(values, 0)


def merged(points: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal (row, column) of points ``[n, >= 2]``, and add their weights; other shapes alike."""
    places = np.ravel_multi_index(tuple(points[:, : len(shape)].T), shape)
    unique, index = np.unique(places, return_inverse=True)
    return np.stack(np.unravel_index(unique, shape), axis=1), np.bincount(index, weights, len(unique))
