import numpy as np
import pytest

from gazeback.eval.baselines.short_routes import GradCam
from gazeback.models.wrapping.graphs import Subgraph

IDS = [3, 4, 5, 6]


@pytest.fixture(scope="module")
def features(captioner) -> np.ndarray:
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    return np.asarray(captioner.features(pixels))[0]


def grad_cam_by_differences(captioner, features, ids, position):
    """Equations 1 and 2 with central differences of the logit, element by element of the map."""
    last_map = captioner.model.get_layer(captioner.features_layer).output
    half = Subgraph([last_map, captioner.model.inputs[1]], [captioner.model.output])
    words = np.array([[captioner.vocabulary.start, *ids]], np.int32)

    height, width, channels = features.shape
    places = [(y, x, c) for y in range(height) for x in range(width) for c in range(channels)]
    moved = np.repeat(features[None], 2 * len(places), axis=0)
    for i, place in enumerate(places):
        moved[(2 * i, *place)] += 0.5
        moved[(2 * i + 1, *place)] -= 0.5
    logits = np.asarray(half([moved, np.repeat(words, len(moved), axis=0)])[0], np.float64)
    answers = logits[:, position + 1, ids[position]]
    alpha = np.zeros(channels)
    for i, (_, _, c) in enumerate(places):
        alpha[c] += (answers[2 * i] - answers[2 * i + 1]) / (height * width)
    heat = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            heat[y, x] = max(0.0, sum(alpha[c] * features[y, x, c] for c in range(channels)))
    return heat


@pytest.mark.parametrize("position", [0, 3])
def test_equals_its_literal_twin(captioner, features, position):
    heat = GradCam(captioner)(features, IDS, [position])[0]
    expected = grad_cam_by_differences(captioner, features, IDS, position)
    assert expected.max() > 0 or position == 0
    np.testing.assert_allclose(heat, expected, rtol=0.02, atol=1e-5)


def test_words_asked_together_answer_as_words_asked_alone(captioner, features):
    grad_cam = GradCam(captioner)
    together = grad_cam(features, IDS, [0, 1, 2, 3])
    alone = np.concatenate([grad_cam(features, IDS, [position]) for position in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-7)
    assert together.shape == (4, 4, 4)
    assert (together >= 0).all()


def test_later_words_change_nothing(captioner, features):
    grad_cam = GradCam(captioner)
    np.testing.assert_allclose(
        grad_cam(features, IDS, [1]), grad_cam(features, [*IDS, 7, 8], [1]), rtol=1e-4, atol=1e-7
    )


def test_the_captioner_is_left_as_it_was(captioner, features):
    before = [weight.copy() for weight in captioner.model.get_weights()]
    GradCam(captioner)(features, IDS, [2])
    for old, new in zip(before, captioner.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
