import numpy as np
import pytest

from gazeback.eval import word_maps
from gazeback.eval.metrics import boxes_mask, energy_inside, pointing
from gazeback.eval.word_maps import METHODS, Question, build_method, check_methods, check_traced, enlarged
from gazeback.models.errors import UserError

RANDOM = np.random.default_rng(2)


@pytest.fixture(scope="module")
def question(captioner) -> Question:
    pixels = RANDOM.uniform(0, 255, (32, 32, 3)).astype(np.float32)
    return Question(pixels, np.asarray(captioner.features(pixels[None]))[0], [3, 4, 5, 6], [2, 3])


def enlarged_by_loops(small, height, width):
    """Each new pixel's centre, in old pixels, between its four neighbours; beyond the outermost centres the
    edge."""
    h, w = small.shape
    large = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * h / height - 0.5, 0), h - 1)
            x = min(max((column + 0.5) * w / width - 0.5, 0), w - 1)
            y0, x0 = min(int(y), h - 1), min(int(x), w - 1)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            top = small[y0, x0] * (1 - x + x0) + small[y0, x1] * (x - x0)
            bottom = small[y1, x0] * (1 - x + x0) + small[y1, x1] * (x - x0)
            large[row, column] = top * (1 - y + y0) + bottom * (y - y0)
    return large


@pytest.mark.parametrize(("height", "width"), [(12, 20), (7, 7), (3, 4)])
def test_enlarging_equals_its_literal_twin(height, width):
    maps = RANDOM.random((2, 3, 4))
    expected = [enlarged_by_loops(small, height, width) for small in maps]
    np.testing.assert_allclose(enlarged(maps, height, width), expected, rtol=1e-5)


def test_enlarging_an_even_map_keeps_it():
    np.testing.assert_allclose(enlarged(np.full((1, 7, 7), 2.5), 224, 224), 2.5, rtol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_maps_have_the_photos_size_and_can_be_measured(captioner, question, name):
    maps = build_method(name, captioner)(question)
    assert maps.shape == (2, 32, 32)
    energy_inside(maps, np.ones((1, 32, 32), bool))


def test_the_centre_points_at_the_centre_and_spreads_its_energy_evenly(captioner, question):
    maps = build_method("center", captioner)(question)
    boxes = [[(0, 0, 32, 8)], [(16, 16, 1, 1)]]
    masks = np.stack([boxes_mask(box, 32, 32) for box in boxes])
    np.testing.assert_allclose(pointing(maps, masks), [[0, 1], [0, 1]])
    np.testing.assert_allclose(energy_inside(maps, masks), [[0.25, 1 / 1024]] * 2, rtol=2e-3)


@pytest.mark.parametrize("name", ["center", "activation"])
def test_maps_that_know_no_word_are_the_same_for_all(captioner, question, name):
    first, second = build_method(name, captioner)(question)
    np.testing.assert_array_equal(first, second)


def test_the_tracer_is_asked_once_for_all_words(captioner, question, monkeypatch):
    class OnePoint:
        def heatmap(self):
            return np.eye(32, dtype=np.float32)

    calls = []

    def word_evidence(captioner, image, word_ids, **options):
        calls.append((word_ids, options))
        return [OnePoint() for _ in options["positions"]]

    monkeypatch.setattr(word_maps, "word_evidence", word_evidence)
    assert build_method("fixations", captioner)(question).shape == (2, 32, 32)
    assert calls == [([3, 4, 5, 6], {"positions": [2, 3], "method": "fixations"})]


def test_method_names():
    assert check_methods("evidence, grad-cam,evidence") == ["evidence", "grad-cam"]
    with pytest.raises(UserError, match="unknown method 'gradcam'; there are evidence, fixations, center"):
        check_methods("evidence,gradcam")
    with pytest.raises(UserError, match="no method named"):
        check_methods(" ,")
    with pytest.raises(UserError, match="unknown method 'center'; the tracer has evidence, fixations"):
        check_traced("center")
    assert set(METHODS) >= {"evidence", "fixations", "center", "activation", "grad-cam"}
