"""Make boxes from maps and points, and compare them with true boxes.

Boxes are `[x, y, w, h]` in pixels, maps float [height, width].
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, label

from gazeback.cnn_trace.fixations import Fixations
from gazeback.eval.metrics.maps import Box

NO_BOX: Box = (0.0, 0.0, 0.0, 0.0)


def best_iou(box: Box, true_boxes: np.ndarray) -> float:
    """Compute the intersection over union with the best of the true boxes float [n, 4]; 0 for an empty
    box."""
    found = np.asarray(box, float)
    start = np.maximum(found[:2], true_boxes[:, :2])
    end = np.minimum(found[:2] + found[2:], true_boxes[:, :2] + true_boxes[:, 2:])
    shared = np.maximum(end - start, 0).prod(axis=1)
    union = found[2:].prod() + true_boxes[:, 2:].prod(axis=1) - shared
    return float(np.max(shared / union))


def tight_box(fixations: Fixations) -> Box:
    """The tight box around the points without outliers (*CNN Fixations*, IEEE TIP 2018, section IV-A)."""
    return fixations.without_outliers().box() or NO_BOX


def region_box(heat: np.ndarray, threshold: float) -> Box:
    """The box of the connected region with the most heat, among the pixels that reach a fraction of the
    maximum."""
    if not heat.max() > 0:
        return NO_BOX
    regions, count = label(heat >= threshold * heat.max())
    mass = np.bincount(regions.ravel(), heat.ravel(), count + 1)
    inside = regions == 1 + int(np.argmax(mass[1:]))
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return (left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def blurred(heat: np.ndarray, blur: float) -> np.ndarray:
    """Blur a map by a Gaussian; `blur` is a fraction of the diagonal."""
    return gaussian_filter(heat, blur * float(np.hypot(*heat.shape)), mode="constant") if blur else heat


def centre_box(shape: Sequence[int], share: float) -> Box:
    """A box in the middle of (height, width), whose sides are a fraction of the image's."""
    height, width = shape
    return (width * (1 - share) / 2, height * (1 - share) / 2, width * share, height * share)
