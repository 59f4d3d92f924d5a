"""Worse photos, and what becomes of the maps of coloured squares on them."""

import json

import numpy as np
import pytest
from twins.soft_colours import soft

from gazeback.eval.perturbations.corruptions import CORRUPTIONS, blur, jpeg, noise
from gazeback.eval.tasks.robustness import RobustnessTask, compared, resized
from gazeback.models.photos import Photo


@pytest.fixture
def photo():
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    return Photo(pixels, "a.png")


@pytest.fixture
def task(squares_folder, colours, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: soft(colours))
    return RobustnessTask(squares_folder, "colours", None, "all", 3, "evidence")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_worse_photo_has_the_same_size_and_comes_out_the_same_again(photo, name):
    worse, again = CORRUPTIONS[name](photo), CORRUPTIONS[name](photo)
    assert worse.pixels.shape == photo.pixels.shape
    assert worse.pixels.dtype == np.uint8
    assert worse.name == "a.png"
    np.testing.assert_array_equal(worse.pixels, again.pixels)
    assert (worse.pixels != photo.pixels).any()


def test_a_blur_is_a_gaussian_in_pixels_of_224():
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[100:, :] = 255
    row = blur(2)(Photo(pixels, "a")).pixels[90:110, 0, 0].astype(float)
    taps = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    taps /= taps.sum()
    expected = [255 * taps[[8 + 100 + d <= 90 + i + 8 for d in range(-8, 9)]].sum() for i in range(20)]
    np.testing.assert_allclose(row, expected, atol=1)
    small = np.zeros((56, 56, 3), np.uint8)
    small[28, 28] = 255
    around = ((84, 84), (84, 84), (0, 0))
    padded = blur(0.5)(Photo(np.pad(small, around), "a")).pixels[84:-84, 84:-84]
    # sigma 2 at 224 is sigma 0.5 on a photo of a quarter of the side
    np.testing.assert_array_equal(blur(2)(Photo(small, "a")).pixels, padded)


def test_noise_has_its_deviation_and_depends_on_the_name():
    grey = np.full((100, 100, 3), 128, np.uint8)
    one, other = (noise(15)(Photo(grey, name)).pixels.astype(float) for name in ("a", "b"))
    assert one.std() == pytest.approx(15, rel=0.03)
    assert one.mean() == pytest.approx(128, abs=0.5)
    assert (one != other).any()


def test_lower_quality_is_further_away(photo):
    far, near = (
        np.abs(jpeg(quality)(photo).pixels.astype(float) - photo.pixels).mean() for quality in (8, 80)
    )
    assert far > near


def test_a_photo_is_squeezed_whole(photo):
    assert resized(photo, (20, 30)).pixels.shape == (20, 30, 3)
    np.testing.assert_array_equal(resized(photo, (96, 128)).pixels, photo.pixels)


def test_by_hand():
    mask = np.zeros((2, 2), bool)
    mask[0, 0] = True
    clean = np.array([[3.0, 1], [0, 0]])
    maps = np.stack([clean, clean, 2 * clean, clean[::-1], clean, clean, np.zeros((2, 2))])
    found = compared(maps, mask)
    correlation, energy, hit = (list(found[key].values()) for key in ("correlation", "energy", "hit"))
    # ranks 4, 3, 1.5, 1.5 against 1.5, 1.5, 4, 3
    assert correlation == pytest.approx([1, 1, -4 / 4.5, 1, 1, 0])
    assert energy == [0, 0, -0.75, 0, 0, -0.75]
    assert hit == [0, 0, -1, 0, 0, -1]


def test_flips_change_nothing():
    rng = np.random.default_rng(0)
    maps, mask = rng.random((7, 6, 7)), rng.random((6, 7)) > 0.6
    expected, found = compared(maps, mask), compared(maps[:, ::-1], mask[::-1])
    for metric, values in expected.items():
        assert found[metric] == pytest.approx(values)


def test_coloured_squares(task):
    names = list(task.names())
    found = task.measure(task.subject(), names, task.methods)
    for records in found.values():
        assert set(records["evidence"]["stays"].values()) == {1.0}
        assert all(value > 0.4 for value in records["evidence"]["correlation"].values())
        assert records["center"]["energy"] == pytest.approx(dict.fromkeys(CORRUPTIONS, 0), abs=1e-9)
        assert records["center"]["correlation"] == pytest.approx(dict.fromkeys(CORRUPTIONS, 1))
    by_method = {method: {name: found[name][method] for name in names} for method in task.methods}
    assert json.loads(json.dumps(by_method)) == by_method
    *tables, stays = task.tables(by_method)
    assert [len(table.rows) for table in tables] == [3, 3, 3]
    assert [cell.mean for cell in stays.rows[0][1]] == [1] * 6
    assert task.score(by_method["center"][names[0]]) == pytest.approx(1)
