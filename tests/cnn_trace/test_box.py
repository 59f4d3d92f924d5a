"""Boxes: tight around the points, or around the heaviest region of the heat map."""

import numpy as np

from gazeback.cnn_trace import Fixations


def _two_clusters() -> Fixations:
    points = np.array([[20, 20], [22, 24], [24, 20], [80, 90]])
    return Fixations(points, np.array([0.3, 0.3, 0.3, 0.1]), (100, 120))


def test_the_tight_box_holds_every_point() -> None:
    assert _two_clusters().box() == [20.0, 20.0, 71.0, 61.0]


def test_the_region_box_is_that_of_the_heaviest_region() -> None:
    found = _two_clusters()
    x, y, width, height = found.box(0.2)
    inside = found.heatmap()[int(y) : int(y + height), int(x) : int(x + width)]
    assert inside.max() == 1
    assert y + height < 80
    rows, columns = np.nonzero(inside >= 0.2)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == inside.shape


def test_region_boxes_scale_with_the_image() -> None:
    small = _two_clusters()
    large = small.mapped(lambda points: points * 10 + 4.5, (1000, 1200))
    np.testing.assert_allclose(np.array(large.box(0.2)) / 10, small.box(0.2), atol=1.5)


def test_without_points_there_is_no_box() -> None:
    empty = Fixations(np.zeros((0, 2), int), np.zeros(0), (10, 10))
    assert (empty.box(), empty.box(0.5)) == (None, None)
