"""Pixels of objects against maps: values by hand, literal twins, and what must not change them."""

from dataclasses import asdict

import numpy as np
import pytest
from twins import object_metrics as twins

from gazeback.eval.metrics.maps import average_precision
from gazeback.eval.metrics.pixels import LEVELS, PixelCounts, Scores, absolute_error, threshold


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def distinct_levels(rng, height, width):
    """A map whose values all have levels of their own."""
    levels = rng.permutation(LEVELS)[: height * width]
    levels[rng.integers(len(levels))] = LEVELS - 1
    return ((levels + 0.5) / LEVELS).reshape(height, width) ** 2


def test_counts_by_hand():
    heat = np.array([[4.0, 1.0], [0.0, 4.0]])  # shares 1, 1/4, 0: levels 255, 128, 0
    counts = PixelCounts.of(heat, np.array([[True, True], [False, False]]))
    assert counts.inside[[255, 128]].tolist() == [1, 1]
    assert counts.outside[[255, 0]].tolist() == [1, 1]
    assert counts.pixels == 4
    assert counts.scores(128) == Scores(accuracy=3 / 4, precision=2 / 3, recall=1, f=4 / 5, iou=2 / 3)
    assert counts.scores(129) == Scores(accuracy=1 / 2, precision=1 / 2, recall=1 / 2, f=1 / 2, iou=1 / 3)
    # two pixels are to be found: one each of the two at the maximum, of which one is right
    assert counts.equal_error_precision() == 1 / 2


def test_pixels_of_one_level_count_with_their_mean():
    heat, mask = np.array([[1.0, 0.5, 0.5, 0.5]]), np.array([[True, True, False, False]])
    # one is found, the other by one of three alike
    assert PixelCounts.of(heat, mask).equal_error_precision() == pytest.approx((1 + 1 / 3) / 2)


def test_an_even_map_reaches_the_share_of_the_area():
    mask = np.zeros((10, 10), bool)
    mask[:3] = True
    for heat in (np.ones((10, 10)), np.zeros((10, 10))):
        assert PixelCounts.of(heat, mask).equal_error_precision() == pytest.approx(0.3)


def test_a_perfect_map_and_no_object():
    mask = np.zeros((6, 6), bool)
    mask[2:4, 1:5] = True
    perfect = PixelCounts.of(mask.astype(float), mask)
    assert perfect.equal_error_precision() == 1
    assert asdict(perfect.scores(1)) == dict.fromkeys(asdict(perfect.scores(1)), 1)
    nothing = PixelCounts.of(mask.astype(float), np.zeros_like(mask))
    assert nothing.equal_error_precision() is None
    assert nothing.scores(1) == Scores(accuracy=28 / 36, precision=0, recall=0, f=0, iou=0)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_the_literal_twin(seed):
    rng = np.random.default_rng(seed)
    heat, mask = distinct_levels(rng, 9, 11), rng.random((9, 11)) < 0.4
    counts = PixelCounts.of(heat, mask)
    for level in (1, 40, 128, 200, 255):
        twin = twins.scores(heat.tolist(), mask.tolist(), threshold(level))
        assert asdict(counts.scores(level)) == pytest.approx(twin)


@pytest.mark.parametrize("seed", range(5))
def test_equal_error_is_that_of_the_literal_twin(seed):
    rng = np.random.default_rng(seed)
    levels = rng.permutation(np.arange(1, LEVELS - 1))[:96].reshape(2, 6, 8)
    heats = ((levels + 0.5) / LEVELS) ** 2
    heats[0, 0, 0] = heats[1, 0, 1] = 1.0  # both maps are scaled by their maximum
    masks = rng.random((2, 6, 8)) < 0.35
    masks[0, 0, 0] = masks[1, 0, 1] = True  # so that the two maxima are alike in their answer
    counts = PixelCounts.total(PixelCounts.of(*pair) for pair in zip(heats, masks, strict=True))
    twin = twins.equal_error_precision(heats.tolist(), masks.tolist())
    assert counts.equal_error_precision() == pytest.approx(twin)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_ranked_pixels(seed):
    rng = np.random.default_rng(seed)
    heat, mask = distinct_levels(rng, 9, 11), rng.random((9, 11)) < 0.4
    found = PixelCounts.of(heat, mask).average_precision()
    assert found == pytest.approx(float(average_precision(heat[None], mask[None])[0]))
    assert PixelCounts.of(np.ones((9, 11)), mask).average_precision() == pytest.approx(mask.mean())
    assert PixelCounts.of(heat, np.zeros_like(mask)).average_precision() is None


def test_scaling_and_flipping_change_nothing(rng):
    heat, mask = rng.random((7, 9)), rng.random((7, 9)) < 0.5
    counts = PixelCounts.of(heat, mask)
    for other in (PixelCounts.of(heat * 8, mask), PixelCounts.of(heat[:, ::-1], mask[:, ::-1])):
        np.testing.assert_array_equal(counts.inside, other.inside)
        np.testing.assert_array_equal(counts.outside, other.outside)
    assert absolute_error(heat * 8, mask) == pytest.approx(absolute_error(heat, mask))
    assert absolute_error(heat[::-1], mask[::-1]) == pytest.approx(absolute_error(heat, mask))


def test_parts_add_up_to_the_whole(rng):
    heat, mask = rng.random((8, 8)), rng.random((8, 8)) < 0.5
    heat[0, 0] = heat[4, 4] = 1.0  # each half has the maximum
    halves = [PixelCounts.of(heat[rows], mask[rows]) for rows in (slice(4), slice(4, 8))]
    together = PixelCounts.total(halves)
    np.testing.assert_array_equal(together.inside, PixelCounts.of(heat, mask).inside)
    assert together.pixels == 64


def test_counts_survive_being_packed(rng):
    counts = PixelCounts.of(rng.random((300, 400)), rng.random((300, 400)) < 0.2)
    text = counts.packed()
    again = PixelCounts.unpacked(text)
    np.testing.assert_array_equal(again.inside, counts.inside)
    np.testing.assert_array_equal(again.outside, counts.outside)
    assert len(text) < 2500


def test_absolute_error_by_hand():
    assert (
        absolute_error(np.array([[2.0, 1.0], [0.0, 0.0]]), np.array([[True, False], [True, False]]))
        == (0 + 0.5 + 1 + 0) / 4
    )
    assert absolute_error(np.zeros((2, 2)), np.eye(2, dtype=bool)) == 0.5


@pytest.mark.parametrize("heat", [np.array([[np.nan, 1]]), np.array([[-1.0, 1]])])
def test_maps_must_be_finite_and_non_negative(heat):
    with pytest.raises(ValueError, match="finite and non-negative"):
        PixelCounts.of(heat, np.array([[True, False]]))


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"of one size, got \(2, 3\) and \(3, 2\)"):
        PixelCounts.of(np.ones((2, 3)), np.ones((3, 2), bool))
