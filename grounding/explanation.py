"""Where one method sees one target in a photo: points, or a heat map alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from gazeback.cnn_trace.fixations import DEFAULT_BLUR, REGION, Fixations, heaviest_region
from gazeback.grounding.evidence_map import evidence_map, shrunk

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
