import numpy as np
import pytest
from PIL import Image

from gazeback.grounding.output.colours import BOARD, PAPER, PHOTO, blended, heat_colours, look_of
from gazeback.models.photos import Photo


def drawing(paper, stroke):
    pixels = np.full((40, 40, 3), paper, np.uint8)
    pixels[10:30, 20] = stroke
    return pixels


def test_a_drawing_is_told_from_a_photo():
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    found = [look_of(Photo(p, "p")) for p in (drawing(255, 0), drawing(0, 255), drawing(120, 0), noise)]
    assert found == [PAPER, BOARD, PHOTO, PHOTO]


@pytest.mark.parametrize(("paper", "stroke", "look"), [(255, 0, PAPER), (0, 255, BOARD)])
def test_strokes_stay_visible_under_the_strongest_heat(paper, stroke, look):
    picture = Image.fromarray(drawing(paper, stroke))
    mixed = np.asarray(blended(picture, np.full((4, 4), 255, np.uint8), look), int)
    assert (mixed[20, 20] == stroke).all() or abs(mixed[20, 20] - stroke).max() < 30
    assert abs(mixed[20, 20] - mixed[20, 5]).max() > 100


def test_no_heat_changes_no_drawing():
    pixels = drawing(255, 0)
    mixed = blended(Image.fromarray(pixels), np.zeros((4, 4), np.uint8), PAPER)
    np.testing.assert_array_equal(mixed, pixels)


def test_on_paper_colours_darken_with_the_evidence():
    colours = heat_colours(PAPER.stops).astype(int)
    lightness = colours[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) < 0.5).all()
    assert (np.diff(colours[:, 3]) >= 0).all()
    assert colours[0, 3] == 0
