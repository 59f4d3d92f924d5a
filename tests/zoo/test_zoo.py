"""Eleven kinds of captioner, wrapped as their authors have them: the same scores, exact sums, and the right
thing.
"""

import keras
import numpy as np
import pytest
from twins.exact_words import sums_and_logits
from zoo.authors import log_probabilities
from zoo.captioners import ZOO, Lesson
from zoo.encoder import build_encoder, train_encoder
from zoo.measure import shares
from zoo.scenes import encoded, scenes

from gazeback.models import wrap_captioner

MEASURED = ("par-inject", "init-inject")
"""The kinds whose maps are measured here, as training takes minutes; any other of the zoo can stand here."""


@pytest.fixture(scope="module")
def few():
    return scenes(2, 4)


@pytest.fixture(scope="module")
def untrained(few):
    return Lesson(build_encoder(), few, effort=0)


@pytest.mark.parametrize("kind", ZOO)
def test_untrained_it_scores_as_its_author_and_its_sums_are_exact(kind, untrained, few):
    check_exact(ZOO[kind](untrained), few)


@pytest.fixture(scope="module")
def trained():
    training = scenes(0, 4000)
    return Lesson(train_encoder(training, epochs=12), training)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MEASURED)
def test_trained_its_words_point_at_their_own_things(kind, trained):
    """On scenes that neither it nor a choice of ours has seen."""
    keras.utils.set_random_seed(1)
    found = shares(wrap_captioner(**ZOO[kind](trained)), scenes(2, 20), ("evidence", "occlusion"))
    evidence, occlusion = found["evidence"], found["occlusion"]
    print(f"{kind:25} evidence {evidence}, occlusion {occlusion}")
    assert evidence["own"] >= max(0.85, occlusion["own"] - 0.03)
    assert evidence["other"] <= 0.08


def check_exact(parts, measured):
    mine = wrap_captioner(**parts)
    pixels = np.stack([scene.pixels for scene in measured]).astype(np.float32)
    words = np.array([encoded(scene)[:-1] for scene in measured], np.int32)
    found = mine.log_probabilities(mine.features(pixels), words)
    np.testing.assert_allclose(found, log_probabilities(parts, pixels, words), atol=1e-4)
    np.testing.assert_allclose(*sums_and_logits(mine, pixels[0], words[0, 1:].tolist()), rtol=1e-4, atol=1e-4)
