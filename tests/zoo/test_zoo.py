"""Eleven kinds of captioner, wrapped as their authors have them: the same scores, exact sums, and the right
thing.
"""

import numpy as np
import pytest
from twins.exact_words import sums_and_logits
from zoo.authors import log_probabilities
from zoo.captioners import ZOO, Lesson
from zoo.encoder import build_encoder
from zoo.scenes import encoded, scenes

from gazeback.models import wrap_captioner


@pytest.fixture(scope="module")
def few():
    return scenes(2, 4)


@pytest.fixture(scope="module")
def untrained(few):
    return Lesson(build_encoder(), few, effort=0)


@pytest.mark.parametrize("kind", ZOO)
def test_untrained_it_scores_as_its_author_and_its_sums_are_exact(kind, untrained, few):
    check_exact(ZOO[kind](untrained), few)


def check_exact(parts, measured):
    mine = wrap_captioner(**parts)
    pixels = np.stack([scene.pixels for scene in measured]).astype(np.float32)
    words = np.array([encoded(scene)[:-1] for scene in measured], np.int32)
    found = mine.log_probabilities(mine.features(pixels), words)
    np.testing.assert_allclose(found, log_probabilities(parts, pixels, words), atol=1e-4)
    np.testing.assert_allclose(*sums_and_logits(mine, pixels[0], words[0, 1:].tolist()), rtol=1e-4, atol=1e-4)
