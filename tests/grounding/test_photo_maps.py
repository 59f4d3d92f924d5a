import numpy as np
import pytest

from gazeback.grounding.explanation import on_photo, shows_whole_photo
from gazeback.models.classifiers import ModelInput, Preprocessing
from gazeback.models.photos import Photo


def model_input(shape, area, frame, side=20):
    return ModelInput(np.zeros((side, side, 3), np.float32), shape, area, frame)


def test_the_whole_photo_of_the_inputs_size_is_left_as_it_is():
    values = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    whole = model_input((20, 20), (0, 0, 20, 20), (0, 0, 20, 20))
    assert shows_whole_photo(whole)
    np.testing.assert_allclose(on_photo(values, whole, 100), values, atol=1e-6)


@pytest.mark.parametrize("placement", ["squeeze", "crop"])
def test_a_pixel_lands_where_to_photo_puts_it(placement):
    photo = Photo(np.zeros((90, 150, 3), np.uint8), "photo")
    prepared = Preprocessing(30, 30, placement=placement)(photo)
    values = np.zeros((30, 30))
    values[22, 7] = 1
    found = on_photo(values, prepared, 150)
    assert found.shape == (90, 150)
    centre = (np.indices(found.shape) * found).sum(axis=(1, 2)) / found.sum()
    np.testing.assert_allclose(centre, prepared.to_photo([[22, 7]])[0], atol=0.6)


def test_a_drawings_margin_and_place_are_undone():
    pixels = np.full((120, 100, 3), 255, np.uint8)
    pixels[50:90, 30:50] = 0
    prepared = Preprocessing(32, 32, 1, placement="sketch", margin=2)(Photo(pixels, "drawing"))
    assert not shows_whole_photo(prepared)
    found = on_photo(prepared.pixels[..., 0], prepared, 120)
    assert (found[55:85, 34:46] > 0.9).all()
    found[45:95, 25:55] = 0
    assert found.max() == 0


def test_outside_the_input_there_is_nothing_or_the_edge():
    cut = model_input((40, 40), (10, 10, 20, 20), (0, 0, 20, 20))
    ones = np.ones((5, 5))
    nothing, edge = on_photo(ones, cut, 40), on_photo(ones, cut, 40, beyond="nearest")
    assert nothing.sum() == 400
    assert (nothing[10:30, 10:30] == 1).all()
    assert (edge == 1).all()


def test_a_smaller_map_keeps_the_mean():
    values = np.random.default_rng(0).random((200, 200))
    prepared = model_input((200, 200), (0, 0, 200, 200), (0, 0, 200, 200), side=200)
    small = on_photo(values, prepared, 40)
    assert small.shape == (40, 40)
    assert small.mean() == pytest.approx(0.5, abs=0.02)
    assert small.std() < 0.5 * values.std()
