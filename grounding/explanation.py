"""The explanation of one target by one method: points on a photo, or only a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from gazeback.cnn_trace.fixations import DEFAULT_BLUR, Fixations, heaviest_region
from gazeback.grounding.output.colours import evidence_map, fitted, shrunk
from gazeback.models.classifiers import ModelInput

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations

Polygon = Sequence[Sequence[float]]

Outlines = Mapping[int, Sequence[Polygon]]


def on_photo(values: np.ndarray, prepared: ModelInput, longest: int, beyond: str = "constant") -> np.ndarray:
    """Resample a map over the whole input to a map over the whole photo: bilinear, smoothed where it shrinks.

    Args:
        values: float ``[h, w]``; both sides cover the input's, whatever their resolution.
        prepared: the input, which may be a part of the photo, or the photo with a margin.
        longest: cells along the result's longer side, at most the pixels of the photo.
        beyond: the values outside the input: "constant" (0) or "nearest" (the map's edge).

    Returns:
        float32 ``[rows, columns]``.
    """
    height, width = prepared.photo_shape
    columns, rows = fitted(width, height, longest)
    smooth, places = np.asarray(values, np.float32), []
    for axis, cells in enumerate((rows, columns)):
        # coordinates start at the edge, so the centre of the first cell is at half a cell
        photo = (np.arange(cells) + 0.5) / cells * prepared.photo_shape[axis]
        share = (photo - prepared.area[axis]) / prepared.area[axis + 2]
        seen = prepared.frame[axis] + share * prepared.frame[axis + 2]
        scale = values.shape[axis] / prepared.pixels.shape[axis]
        places.append(seen * scale - 0.5)
        step = prepared.photo_shape[axis] / cells / prepared.area[axis + 2] * prepared.frame[axis + 2] * scale
        if step > 1:  # cells of the map per cell of the result: finer detail would alias
            smooth = gaussian_filter1d(smooth, step / 2, axis=axis, mode="nearest")
    if beyond == "constant":  # the map keeps its value up to its border, and is 0 beyond
        inside = [
            (place >= -0.5) & (place <= side - 0.5) for place, side in zip(places, values.shape, strict=True)
        ]
    else:
        inside = [np.ones(len(place), bool) for place in places]
    grid = np.meshgrid(*places, indexing="ij")
    return map_coordinates(smooth, grid, order=1, mode="nearest") * np.outer(*inside).astype(np.float32)


def shows_whole_photo(prepared: ModelInput) -> bool:
    """Whether the input is the whole photo: nothing cropped, no margin."""
    height, width = prepared.pixels.shape[:2]
    return prepared.area == (0, 0, *prepared.photo_shape) and prepared.frame == (0, 0, height, width)


MAP_LONGEST = 320  # cells along the longer side of a heat map without points

MAP_REGION = (
    0.2  # fraction of the maximum at which the region of a map without points ends: Zhou et al., CVPR 2016
)

FEWEST_ON_GRID, MOST_ROWS = 9, 28  # points, and rows or columns: as many as a map of stride 8 has


@dataclass(frozen=True)
class Explanation:
    """The explanation of one target by one method; coordinates are in pixels of the photo.

    Attributes:
        method: its name.
        fixations: the points; None for a method that only makes a heat map.
        map: float32 ``[rows, columns]`` over the whole photo, 0 to 1: the heat map of such a method.
        on_input: the points in pixels of the model's input, with their evidence at each layer.
    """

    method: str
    fixations: Fixations | None
    map: np.ndarray | None = None
    on_input: Fixations | None = None

    @property
    def grid(self) -> tuple[int, int] | None:
        """The rows and columns of the coarse grid on which the points lie; None if they do not.

        A published walk often ends at the same pixel below each location of the last map.
        """
        points = self._published
        if points is None or len(points) < FEWEST_ON_GRID:
            return None
        rows, columns = (len(np.unique(places)) for places in points.points.T)
        spaced = max(rows, columns) <= min(MOST_ROWS, min(points.shape) / 4)
        filled = rows * columns <= 2 * len(points)
        return (rows, columns) if spaced and filled else None

    def heat(self, longest: int) -> np.ndarray:
        """The heat map, its longer side at most ``longest`` cells: uint8 ``[rows, columns]``, maximum 255."""
        if self.fixations is not None:
            return evidence_map(self.fixations, longest)
        assert self.map is not None
        return shrunk(self.map, longest)

    def box(self, shape: tuple[int, ...]) -> list[float] | None:
        """The box ``[x, y, width, height]`` on the photo of this (height, width); None if nothing was found.

        For evidence and for a map alone, it is :meth:`region`. For the points of the published methods it is
        the tight box around them, as published.
        """
        return self.region(shape) if self._published is None else self._published.box(None)

    @property
    def _published(self) -> Fixations | None:
        """The points of a published method, which have no spread and no net map."""
        points = self.fixations
        return points if points is not None and points.net is None and not points.is_spread else None

    def region(self, shape: tuple[int, ...]) -> list[float] | None:
        """The box ``[x, y, width, height]`` of the heat map's heaviest region; None if nothing was found."""
        if self.fixations is not None:
            return self.fixations.region
        assert self.map is not None
        if not self.map.any():
            return None
        # blurred like points, so that the noise of a gradient becomes one region
        heat = gaussian_filter(self.map, DEFAULT_BLUR * float(np.hypot(*self.map.shape)), mode="constant")
        rows, columns = heaviest_region(heat, MAP_REGION * heat.max())
        down, across = np.divide(shape, self.map.shape)
        left, top = columns.start * across, rows.start * down
        return [float(side) for side in (left, top, columns.stop * across - left, rows.stop * down - top)]
