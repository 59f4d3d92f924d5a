"""Boxes from maps and points, on cases that can be worked out by hand."""

import numpy as np
import pytest

from gazeback.cnn_trace import Fixations
from gazeback.eval.metrics.boxes import (
    best_iou,
    centre_box,
    region_box,
    tight_box,
)


def fixations(points, weights=None, shape=(100, 100), net=None):
    points = np.array(points, np.int64).reshape(-1, 2)
    return Fixations(points, np.ones(len(points)) if weights is None else np.array(weights), shape, net)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 10, 10), 1.0),
        ((0, 0, 10, 5), 0.5),
        ((5, 0, 10, 10), 50 / 150),
        ((20, 20, 4, 4), 0.0),
        ((0, 0, 0, 0), 0.0),
        ((50, 50, 2, 1), 0.5),
    ],
)
def test_iou_is_that_of_the_box_that_fits_best(box, expected):
    assert best_iou(box, np.array([[0.0, 0, 10, 10], [50, 50, 2, 2]])) == pytest.approx(expected)


def test_iou_keeps_its_value_when_both_boxes_are_scaled():
    box, true = np.array([1.0, 2, 7, 5]), np.array([[3.0, 1, 6, 9]])
    scale = np.array([2, 3, 2, 3])
    assert best_iou(box * scale, true * scale) == pytest.approx(best_iou(box, true))


def test_a_region_is_the_heaviest_not_the_largest():
    heat = np.zeros((20, 30))
    heat[2:4, 3:6] = 9  # 54 in all, on 6 pixels
    heat[10:15, 20:28] = 1  # 40 in all, on 40 pixels
    assert region_box(heat, 0.1) == (3, 2, 3, 2)


def test_the_threshold_is_a_share_of_the_maximum_and_diagonals_do_not_connect():
    heat = np.array([[8.0, 4, 1, 0], [0, 0, 0, 9]])
    assert region_box(heat, 0.4) == (0, 0, 2, 1)
    assert region_box(heat, 0.95) == (3, 1, 1, 1)


def test_no_heat_and_no_points_make_an_empty_box():
    assert region_box(np.zeros((4, 4)), 0.1) == (0, 0, 0, 0)
    assert tuple(tight_box(fixations([]))) == (0, 0, 0, 0)


def test_the_tight_box_leaves_outliers_out():
    rows, columns = np.meshgrid(np.arange(40, 50), np.arange(60, 70), indexing="ij")
    near = np.stack([rows.ravel(), columns.ravel()], axis=1)
    assert tight_box(fixations([*near, [5, 5]])) == [60, 40, 10, 10]


def test_the_centre_box():
    assert centre_box((40, 80), 0.5) == (20, 10, 40, 20)
