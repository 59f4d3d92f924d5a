"""Where one method sees one target in a photo: points, or a heat map alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from gazeback.cnn_trace.fixations import DEFAULT_BLUR, REGION, Fixations, heaviest_region
from gazeback.grounding.output.colours import evidence_map, fitted, shrunk
from gazeback.models.classifiers import ModelInput

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations

Polygon = Sequence[Sequence[float]]

Outlines = Mapping[int, Sequence[Polygon]]


def on_photo(values: np.ndarray, prepared: ModelInput, longest: int, beyond: str = "constant") -> np.ndarray:
    """A map over the whole input as a map over the whole photo; bilinear, smoothed where it gets smaller.

    Args:
        values: float ``[h, w]``; both sides cover the input's, whatever their resolution.
        prepared: the input, which may show a part of the photo, or the photo with a margin.
        longest: cells of the result's longer side, at most as many as the photo has pixels.
        beyond: what there is outside the input: "constant" (0) or "nearest" (the map's edge).

    Returns:
        float32 ``[rows, columns]``.
    """
    height, width = prepared.photo_shape
    columns, rows = fitted(width, height, longest)
    smooth, places = np.asarray(values, np.float32), []
    for axis, cells in enumerate((rows, columns)):
        # edges count from 0, so that the centre of the first cell lies at half a cell
        photo = (np.arange(cells) + 0.5) / cells * prepared.photo_shape[axis]
        share = (photo - prepared.area[axis]) / prepared.area[axis + 2]
        seen = prepared.frame[axis] + share * prepared.frame[axis + 2]
        scale = values.shape[axis] / prepared.pixels.shape[axis]
        places.append(seen * scale - 0.5)
        step = prepared.photo_shape[axis] / cells / prepared.area[axis + 2] * prepared.frame[axis + 2] * scale
        if step > 1:  # cells of the map per cell of the result: finer detail would alias
            smooth = gaussian_filter1d(smooth, step / 2, axis=axis, mode="nearest")
    if beyond == "constant":  # up to its border the map keeps its value, behind it there is nothing
        inside = [
            (place >= -0.5) & (place <= side - 0.5) for place, side in zip(places, values.shape, strict=True)
        ]
    else:
        inside = [np.ones(len(place), bool) for place in places]
    grid = np.meshgrid(*places, indexing="ij")
    return map_coordinates(smooth, grid, order=1, mode="nearest") * np.outer(*inside).astype(np.float32)


def shows_whole_photo(prepared: ModelInput) -> bool:
    """Whether input and photo show the same: nothing cut off, no margin."""
    height, width = prepared.pixels.shape[:2]
    return prepared.area == (0, 0, *prepared.photo_shape) and prepared.frame == (0, 0, height, width)


MAP_LONGEST = 320  # cells of a heat map without points, longer side

MAP_REGION = 0.2  # of the maximum, where the region of a map without points ends: Zhou et al., CVPR 2016


@dataclass(frozen=True)
class Explanation:
    """Where one method sees one target; coordinates are in pixels of the photo.

    Attributes:
        method: its name.
        fixations: the points; None for a method that only makes a heat map.
        map: float32 ``[rows, columns]`` over the whole photo, 0 to 1: the heat map of such a method.
        on_input: the points in pixels of the model's input; they know the layers that they came through.
    """

    method: str
    fixations: Fixations | None
    map: np.ndarray | None = None
    on_input: Fixations | None = None

    def heat(self, longest: int) -> np.ndarray:
        """The heat map, its longer side at most ``longest`` cells: uint8 ``[rows, columns]``, maximum 255."""
        if self.fixations is not None:
            return evidence_map(self.fixations, longest)
        assert self.map is not None
        return shrunk(self.map, longest)

    def box(self, shape: tuple[int, int]) -> list[float] | None:
        """``[x, y, width, height]`` on the photo of this (height, width); None where nothing was found.

        Of points with a net map or of a map alone: :meth:`region`. Of other points, the published way: the
        tight box around them.
        """
        if self.fixations is not None and self.fixations.net is None:
            return self.fixations.box(None)
        return self.region(shape)

    def region(self, shape: tuple[int, int]) -> list[float] | None:
        """The box of the heat map's heaviest region, as :meth:`box` gives one."""
        if self.fixations is not None:
            return self.fixations.box(REGION)
        assert self.map is not None
        if not self.map.any():
            return None
        # blurred as points are, so that the grains of a gradient make one region
        heat = gaussian_filter(self.map, DEFAULT_BLUR * float(np.hypot(*self.map.shape)), mode="constant")
        rows, columns = heaviest_region(heat, MAP_REGION * heat.max())
        down, across = np.divide(shape, self.map.shape)
        left, top = columns.start * across, rows.start * down
        return [float(side) for side in (left, top, columns.stop * across - left, rows.stop * down - top)]
