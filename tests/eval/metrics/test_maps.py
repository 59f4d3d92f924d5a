import numpy as np
import pytest

from gazeback.eval.metrics.maps import average_precision, boxes_mask, energy_inside, ious, pointing

RANDOM = np.random.default_rng(5)


def random_boxes(count: int) -> list[list[float]]:
    return np.concatenate(
        [RANDOM.uniform(-4, 12, (count, 2)), RANDOM.uniform(0, 9, (count, 2))], axis=1
    ).tolist()


def mask_by_loops(boxes, height, width):
    """A pixel is inside if its centre is in any box."""
    mask = [[False] * width for _ in range(height)]
    for row in range(height):
        for column in range(width):
            for x, y, w, h in boxes:
                if x <= column + 0.5 < x + w and y <= row + 0.5 < y + h:
                    mask[row][column] = True
    return np.array(mask)


def pointing_by_loops(heat, mask):
    best, hits, count = heat.max(), 0, 0
    for value, inside in zip(heat.flat, mask.flat, strict=True):
        if value == best and value > 0:
            count += 1
            hits += bool(inside)
    return hits / count if count else 0.0


def energy_by_loops(heat, mask):
    inside = total = 0.0
    for value, is_inside in zip(heat.flat, mask.flat, strict=True):
        total += float(value)
        inside += float(value) if is_inside else 0.0
    return inside / total if total else 0.0


def average_precision_by_loops(heat, mask):
    """The precision at each threshold, times the recall that it adds."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(heat.flat), reverse=True):
        found = heat >= threshold
        hits = sum(bool(value) for value in (found & mask).flat)
        total += hits / int(found.sum()) * (hits / int(mask.sum()) - recall)
        recall = hits / int(mask.sum())
    return total


def iou_by_loops(heat, mask, threshold):
    both = either = 0
    for value, inside in zip(heat.flat, mask.flat, strict=True):
        above = heat.max() > 0 and value >= threshold * heat.max()
        both += bool(above and inside)
        either += bool(above or inside)
    return both / either if either else 0.0


def test_a_pixel_counts_by_its_centre():
    assert boxes_mask([(0.5, 0.0, 1.0, 1.0)], 1, 3).tolist() == [[True, False, False]]
    assert boxes_mask([(0.51, 0.0, 1.0, 1.0)], 1, 3).tolist() == [[False, True, False]]
    assert not boxes_mask([(0.6, 0.0, 0.8, 1.0)], 1, 3).any()


def test_boxes_that_share_an_edge_share_no_pixel():
    left, right = boxes_mask([(0, 0, 1.5, 2)], 2, 4), boxes_mask([(1.5, 0, 2.5, 2)], 2, 4)
    assert not (left & right).any()
    assert (left | right).all()


def test_a_box_is_cut_off_at_the_edges_of_the_photo():
    assert boxes_mask([(-5, -5, 6, 6)], 3, 3).sum() == 1
    assert boxes_mask([(-5, -5, 50, 50)], 3, 3).all()
    assert not boxes_mask([(3, 0, 5, 5)], 3, 3).any()
    assert not boxes_mask([], 3, 3).any()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_mask_equals_its_literal_twin(count):
    for _ in range(20):
        boxes = random_boxes(count)
        np.testing.assert_array_equal(boxes_mask(boxes, 9, 11), mask_by_loops(boxes, 9, 11))


def test_hand_computed_pointing_and_energy():
    heat = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    masks = np.array([[[False, False], [False, True]], [[True, True], [False, False]]])
    np.testing.assert_allclose(pointing(heat, masks), [[1, 0]])
    np.testing.assert_allclose(energy_inside(heat, masks), [[0.4, 0.3]])


def test_a_shared_maximum_counts_by_its_share_inside():
    heat = np.array([[[5.0, 5.0, 5.0, 1.0]]])
    assert pointing(heat, np.array([[[True, False, False, True]]])) == pytest.approx(1 / 3)


def test_a_map_of_zeros_points_nowhere():
    nothing, everything = np.zeros((1, 3, 3)), np.ones((1, 3, 3), bool)
    assert pointing(nothing, everything).item() == 0
    assert energy_inside(nothing, everything).item() == 0


def test_pointing_and_energy_equal_their_literal_twins():
    maps = RANDOM.integers(0, 4, (6, 7, 8)).astype(np.float32)  # few values, so maxima are shared
    masks = RANDOM.random((4, 7, 8)) < 0.4
    points = [[pointing_by_loops(heat, mask) for mask in masks] for heat in maps]
    energies = [[energy_by_loops(heat, mask) for mask in masks] for heat in maps]
    np.testing.assert_allclose(pointing(maps, masks), points, rtol=1e-6)
    np.testing.assert_allclose(energy_inside(maps, masks), energies, rtol=1e-6)


@pytest.mark.parametrize("metric", [pointing, energy_inside])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 7.0, 1e30])
def test_a_maps_scale_does_not_matter(metric, scale):
    maps, masks = RANDOM.random((3, 5, 6)), RANDOM.random((3, 5, 6)) < 0.5
    np.testing.assert_allclose(metric(maps * scale, masks), metric(maps, masks), rtol=1e-9)


@pytest.mark.parametrize("metric", [pointing, energy_inside])
def test_flipping_the_map_with_its_boxes_changes_nothing(metric):
    maps = RANDOM.random((2, 9, 11))
    boxes = random_boxes(3)
    flipped = [[11 - x - w, y, w, h] for x, y, w, h in boxes]
    upright, mirrored = boxes_mask(boxes, 9, 11)[None], boxes_mask(flipped, 9, 11)[None]
    np.testing.assert_array_equal(mirrored, upright[:, :, ::-1])
    np.testing.assert_allclose(metric(maps[:, :, ::-1], mirrored), metric(maps, upright))


def test_energies_of_a_mask_and_of_the_rest_sum_to_one():
    maps, mask = RANDOM.random((4, 5, 5)), RANDOM.random((1, 5, 5)) < 0.5
    np.testing.assert_allclose(energy_inside(maps, mask) + energy_inside(maps, ~mask), 1)


@pytest.mark.parametrize("bad", [np.full((1, 2, 2), -1.0), np.full((1, 2, 2), np.nan)])
def test_a_map_with_negative_or_undefined_values_is_refused(bad):
    with pytest.raises(ValueError, match="finite and non-negative"):
        pointing(bad, np.ones((1, 2, 2), bool))


def test_shapes_are_checked():
    with pytest.raises(
        ValueError, match=r"maps \[n, H, W\] and masks \[m, H, W\], got \(1, 2, 2\) and \(1, 2, 3\)"
    ):
        energy_inside(np.ones((1, 2, 2)), np.ones((1, 2, 3), bool))


def test_average_precision_by_hand():
    maps = np.array([[[4.0, 3.0], [2.0, 1.0]]] * 2 + [[[4.0, 2.0], [2.0, 1.0]]])
    masks = np.array([[[True, False], [True, False]], [[True, True], [False, False]]] * 2)[:3]
    np.testing.assert_allclose(average_precision(maps, masks), [(1 + 2 / 3) / 2, 1, (1 + 2 / 3) / 2])


@pytest.mark.parametrize("levels", [3, 1000])
def test_average_precision_equals_its_literal_twin(levels):
    maps = RANDOM.integers(0, levels, (6, 7, 8)).astype(np.float32)  # with few levels, most values are tied
    masks = RANDOM.random((6, 7, 8)) < 0.4
    expected = [average_precision_by_loops(heat, mask) for heat, mask in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(average_precision(maps, masks), expected)


def test_a_more_peaked_map_has_the_same_average_precision():
    maps, masks = RANDOM.random((4, 9, 9)), RANDOM.random((4, 9, 9)) < 0.4
    assert (energy_inside(maps**8, masks) != energy_inside(maps, masks)).all()
    np.testing.assert_array_equal(average_precision(maps**8, masks), average_precision(maps, masks))


@pytest.mark.parametrize("value", [0, 5])
def test_the_average_precision_of_a_uniform_map_is_the_area(value):
    mask = RANDOM.random((1, 6, 6)) < 0.4
    np.testing.assert_allclose(average_precision(np.full((1, 6, 6), value), mask), mask.mean())


def test_iou_by_hand():
    heat = np.array([[[4.0, 2.0], [1.0, 0.0]]])
    mask = np.array([[[True, False], [True, False]]])
    thresholds = (0.05, 0.25, 0.3, 0.5, 0.55, 0.95)  # 4, 2 and 1 reach the first two, 4 and 2 the next two
    expected = [[2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2]]
    np.testing.assert_allclose(ious(heat, mask, thresholds), expected)
    np.testing.assert_allclose(ious(7 * heat, mask, thresholds), expected)


def test_a_map_of_zeros_has_no_region():
    assert not ious(np.zeros((1, 4, 4)), np.ones((1, 4, 4), bool), (0.1, 0.5)).any()


def test_iou_equals_its_literal_twin():
    maps = np.square(RANDOM.random((4, 7, 6))).astype(np.float32)
    masks = RANDOM.random((4, 7, 6)) < 0.3
    thresholds = (0.01, 0.1, 0.5, 0.9)
    expected = [[iou_by_loops(maps[i], masks[i], threshold) for threshold in thresholds] for i in range(4)]
    np.testing.assert_allclose(ious(maps, masks, thresholds), expected)
