"""Maps over a model's input, laid onto the photo that the input was made from."""

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

from gazeback.grounding.evidence_map import fitted
from gazeback.models.classifiers import ModelInput


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
