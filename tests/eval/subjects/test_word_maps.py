from dataclasses import replace

import numpy as np
import pytest

from gazeback.eval.baselines import explain
from gazeback.eval.metrics.maps import boxes_mask, energy_inside, pointing
from gazeback.eval.subjects import captioner as word_maps
from gazeback.eval.subjects.captioner import METHODS, Question, build_method, check_methods, check_traced
from gazeback.models.errors import UserError

RANDOM = np.random.default_rng(2)


@pytest.fixture(scope="module")
def question(captioner) -> Question:
    pixels = RANDOM.uniform(0, 255, (32, 32, 3)).astype(np.float32)
    return Question(pixels, np.asarray(captioner.features(pixels[None]))[0], [3, 4, 5, 6], [2, 3])


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


def asked_alone(captioner, question, name, **options):
    """A compared method for each word by itself, on the whole model: photo and words in, logits out."""
    words = np.array([[captioner.vocabulary.start, *question.word_ids[:-1]]], np.int32)
    inputs = [question.image[None], words]
    targets = [(position + 1, question.word_ids[position]) for position in question.positions]
    return np.concatenate([explain(name, captioner.model, inputs, target, **options) for target in targets])


@pytest.mark.parametrize("name", ["grad-cam", "saliency", "guided-grad-cam"])
def test_methods_for_classifiers_answer_the_same_for_a_word(captioner, question, name):
    maps = build_method(name, captioner)(question)
    np.testing.assert_allclose(maps, asked_alone(captioner, question, name), rtol=1e-3, atol=1e-6)
    assert (maps.max(axis=(1, 2)) > 0).any()


def test_occlusion_is_the_drop_of_a_words_log_probability(captioner, question):
    """The window and its steps in proportion to a photo of 224 pixels: 5 and 2 of 32."""
    options = {"size": 5, "stride": 2, "score": "log-probability"}
    expected = np.maximum(asked_alone(captioner, question, "occlusion", **options), 0)
    method = build_method("occlusion", captioner)
    np.testing.assert_allclose(method(question), expected, rtol=1e-3, atol=1e-6)
    assert expected.max() > 0
    other = replace(question, word_ids=[7, 8, 9, 3])
    fresh = build_method("occlusion", captioner)(other)
    np.testing.assert_allclose(method(other), fresh, rtol=1e-4, atol=1e-7)


def test_occlusion_sees_each_photo_once(captioner, question, monkeypatch):
    passes = []
    features = type(captioner).features
    monkeypatch.setattr(
        type(captioner), "features", lambda self, x: passes.append(len(x)) or features(self, x)
    )
    method = build_method("occlusion", captioner)
    method(question)
    method(replace(question, word_ids=[7, 8, 9], positions=[0]))
    assert sum(passes) == 15**2


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
    others = {"center", "activation", "grad-cam", "guided-grad-cam", "saliency", "occlusion"}
    assert set(METHODS) >= {"evidence", "fixations", *others}
