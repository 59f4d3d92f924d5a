"""How evidence for a drawing lies on its strokes.

*CNN Fixations*, IEEE TIP 2018, section IV-D. Everything is measured in pixels of the model's input, as the
model sees the drawing: its strokes are those pixels that have half the ink or more, and what lies within 2
pixels of them counts as on them.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from gazeback.cnn_trace.fixations import Fixations
from gazeback.eval.confidence import order
from gazeback.eval.metrics import energy_inside

INK = 0.5
REACH = 2
"""In pixels of the model's input."""


def strokes(pixels: np.ndarray) -> np.ndarray:
    """The drawn pixels, bool [H, W], of an input float32 [H, W, C] with strokes 1 on 0."""
    return pixels.max(axis=-1) >= INK


def near(mask: np.ndarray, reach: float = REACH) -> np.ndarray:
    """The pixels whose centres are at most `reach` from that of a pixel of the mask, bool [H, W]."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    distance: np.ndarray = distance_transform_edt(~mask)
    return distance <= reach


def of_map(heat: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """A map float [H, W] on strokes bool [H, W].

    on strokes: the share of the map's mass near them; coverage: the share of the strokes' pixels among the
    most relevant pixels of the map, of which there are as many as lie near strokes. A map that knows nothing
    has the share of the area in both.
    """
    close = near(drawn)
    best = np.zeros(heat.size, bool)
    best[order(heat)[: int(close.sum())]] = True
    return {
        "map": float(energy_inside(heat[None], close[None])[0, 0]),
        "map coverage": float(best.reshape(heat.shape)[drawn].mean()),
    }


def of_points(fixations: Fixations, drawn: np.ndarray) -> dict[str, float]:
    """Points on strokes bool [H, W]: the share of their weight near strokes, and the share of the strokes'
    pixels that lie near a point. Nothing without points."""
    total = float(fixations.weights.sum())
    if not total > 0:
        return {}
    rows, columns = fixations.points.T
    reached = np.zeros(drawn.shape, bool)
    reached[rows, columns] = True
    inside = near(drawn)[rows, columns]
    return {
        "points": float(fixations.weights[inside].sum() / total),
        "point coverage": float(near(reached)[drawn].mean()),
    }
