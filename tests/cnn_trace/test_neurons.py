"""Evidence, its union, and the pictures made of fixations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazeback.cnn_trace import Evidence, Fixations, TraceError
from gazeback.cnn_trace.neurons import union

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
neurons = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(0, 3), st.integers(0, 2), st.sampled_from([-1, 1]), st.integers(0, 4)
    ),
    max_size=30,
)


def evidence(rows):
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return Evidence.of(table[:, :3], table[:, 4].astype(float), table[:, 3])


@few
@given(st.lists(neurons, min_size=1, max_size=4), st.booleans())
def test_union_adds_up_what_is_equal(parts, once):
    expected = {}
    for row in (row for part in parts for row in part):
        expected[row[:4]] = expected.get(row[:4], 0) + row[4]
    if once:
        expected = {key: float(total > 0) for key, total in expected.items()}
    found = union([evidence(part) for part in parts], (2, 4, 3), once=once)
    keys = [(*c, s) for c, s in zip(found.coordinates.tolist(), found.sense.tolist(), strict=True)]
    assert len(set(keys)) == len(keys)
    assert dict(zip(keys, found.weights[:, 0], strict=True)) == expected


def test_union_keeps_questions_apart_and_is_idempotent():
    one = Evidence.of([[0, 1, 1], [0, 2, 0]], [[1.0, 0.0], [0.0, 2.0]])
    two = Evidence.of([[0, 2, 0]], [[3.0, 4.0]])
    found = union([one, two], (1, 4, 3), once=False)
    assert found.coordinates.tolist() == [[0, 1, 1], [0, 2, 0]]
    assert found.weights.tolist() == [[1, 0], [3, 6]]
    assert union([found], (1, 4, 3), once=False) is found


def test_large_tensors_are_sorted_instead_of_looked_up():
    shape = (3, 4000, 4000, 8)
    rows = np.array([[2, 3999, 0, 7], [0, 1, 2, 3], [2, 3999, 0, 7]])
    found = union([Evidence.of(rows)], shape, once=False)
    assert found.coordinates.tolist() == [[0, 1, 2, 3], [2, 3999, 0, 7]]
    assert found.weights[:, 0].tolist() == [1, 2]


def fixations(points, shape=(40, 60), weights=None, net=None):
    points = np.array(points, np.int64).reshape(-1, 2)
    weights = np.ones(len(points)) if weights is None else np.array(weights, float)
    return Fixations(points, weights, shape, net)


@few
@given(st.integers(1, 60), st.floats(0.0, 0.4), st.floats(0.01, 0.5), st.integers(0, 10**6))
def test_outliers_equal_the_slow_twin(n, share, radius, seed):
    rng = np.random.default_rng(seed)
    points = np.unique(np.concatenate([rng.integers(0, 40, (n, 2)), 20 + rng.integers(0, 4, (n, 2))]), axis=0)
    found = fixations(points, (40, 40), rng.random(len(points)))
    reach = radius * (40**2 + 40**2) ** 0.5
    kept = []
    for i in range(len(points)):
        near = 0
        for j in range(len(points)):
            distance = ((points[i, 0] - points[j, 0]) ** 2 + (points[i, 1] - points[j, 1]) ** 2) ** 0.5
            near += distance <= reach
        if near > share * len(points):
            kept.append(i)
    clean = found.without_outliers(share, radius)
    np.testing.assert_array_equal(clean.points, points[kept])
    np.testing.assert_array_equal(clean.weights, found.weights[kept])


def test_a_far_point_goes_and_a_crowd_stays():
    crowd = [(y, x) for y in range(10, 16) for x in range(10, 16)]
    clean = fixations([*crowd, (39, 59)]).without_outliers()
    assert set(map(tuple, clean.points.tolist())) == set(crowd)
    assert len(fixations([]).without_outliers()) == 0


@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (7, 900), (700, 500)])
def test_heatmap_peaks_at_the_points(shape):
    height, width = shape
    place = (height // 3, width // 4)
    heat = fixations([place], shape).heatmap()
    assert (heat.shape, heat.dtype) == (shape, np.float32)
    assert (heat.max(), heat.min() >= 0) == (1, True)
    found = np.unravel_index(heat.argmax(), shape)
    assert np.abs(np.subtract(found, place)).max() <= max(shape) / 320 + 1


def test_heatmap_weighs_the_points():
    heat = fixations([(10, 10), (30, 50)], weights=[1, 3]).heatmap(sigma=2)
    assert heat[30, 50] == 1
    assert heat[10, 10] == pytest.approx(1 / 3, rel=1e-3)
    assert heat[20, 30] < 0.01


def test_heatmap_without_points_is_zero():
    assert not fixations([]).heatmap().any()
    assert not fixations([(1, 1)], weights=[0]).heatmap().any()


def test_heatmap_is_multiplied_with_the_net_map():
    net = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    heat = fixations([(10, 10), (30, 50)], net=net).heatmap(sigma=2)
    assert heat[10, 10] > 0.9
    assert heat[30, 50] == 0


def test_box_and_mask():
    found = fixations([(3, 5), (10, 7), (4, 20)])
    assert found.box() == [5, 3, 16, 8]
    assert fixations([(3, 5)]).box() == [5, 3, 1, 1]
    assert fixations([]).box() is None
    np.testing.assert_array_equal(found.mask(0.3), found.heatmap() >= 0.3)
    assert found.mask(0.3).dtype == bool


def test_mapped_to_a_photo_merges_and_clips():
    found = fixations([(0, 0), (0, 1), (39, 59)], weights=[1, 2, 4])
    small = found.mapped(lambda points: points / 4 - 0.4, (10, 15))
    assert small.shape == (10, 15)
    assert small.points.tolist() == [[0, 0], [9, 14]]
    assert small.weights.tolist() == [3, 4]
    large = found.mapped(lambda points: (points + 0.5) * 2 - 0.5, (80, 120))
    assert large.weights.sum() == 7
    assert len(fixations([]).mapped(lambda points: points, (5, 5))) == 0


def test_plot_has_three_panels():
    figure = fixations([(3, 5)]).plot(np.zeros((40, 60, 3), np.uint8))
    assert len(figure.axes) == 3
    assert len(fixations([]).plot(np.zeros((40, 60))).axes) == 3


def test_layers_are_forgotten_by_hand_made_fixations():
    with pytest.raises(TraceError, match="no longer know the layers"):
        fixations([(3, 5)]).at("conv")
