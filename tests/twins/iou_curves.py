"""The curve of the IoU over thresholds and its area, pixel by pixel."""

from collections.abc import Sequence

import numpy as np


def iou_curve(heat: np.ndarray, mask: np.ndarray, thresholds: Sequence[float]) -> list[float]:
    peak = max(float(value) for value in heat.ravel())
    curve = []
    for threshold in thresholds:
        both = either = 0
        for row in range(heat.shape[0]):
            for column in range(heat.shape[1]):
                found = peak > 0 and heat[row, column] >= threshold * peak
                both += found and mask[row, column]
                either += found or mask[row, column]
        curve.append(both / either)
    return curve


def area(curve: Sequence[float], thresholds: Sequence[float]) -> float:
    total = 0.0
    for i in range(1, len(curve)):
        total += (thresholds[i] - thresholds[i - 1]) * (curve[i] + curve[i - 1]) / 2
    return total
