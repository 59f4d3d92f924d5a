"""Captioners in the styles that people publish: their authors' scores and captions, and exact sums."""

import keras
import numpy as np
import pytest
from twins import more_captioners
from twins.exact_words import sums_and_logits
from twins.own_captioners import CAPTION, IDS, INDEX, LENGTH, START, greedy, parameters, photo, scaled
from twins.published_captioners import PUBLISHED

from gazeback.grounding import ground
from gazeback.models import squeeze, wrap_captioner
from gazeback.models.photos import load_photo

KINDS = PUBLISHED | more_captioners.PUBLISHED
if keras.backend.backend() == "tensorflow":
    from twins import tensorflow_captioners

    KINDS |= tensorflow_captioners.PUBLISHED

ALWAYS = ("dict of inputs", "decoder model with states", "two features", "two networks", "hand made")
"""The kinds that are tried at every run of the tests; the others at the slow ones."""

LEAST = -80
"""Of log probabilities that are compared: some words are banned."""


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("kind", parameters(KINDS, ALWAYS))
def test_it_says_what_its_author_says_and_its_sums_are_exact(kind):
    own = KINDS[kind]()
    mine = wrap_captioner(**own.arguments, preprocess=scaled, tokenizer=INDEX, mean=[photo(8)])
    images = np.stack([squeeze(load_photo(photo(i, (30, 40))), mine.image_size).pixels for i in range(2)])
    expected = [own.predict(scaled(images), [START, *IDS[:j]]) for j in range(len(IDS) + 1)]
    found = mine.log_probabilities(mine.features(images), np.array([[START, *IDS]] * 2))
    wanted = np.log(np.maximum(np.stack(expected, axis=1), np.exp(LEAST)))
    np.testing.assert_allclose(np.maximum(found, LEAST), wanted, atol=1e-4)
    best = mine.generate(images[:1], beam=1, max_words=LENGTH)[0]
    assert list(best.ids) == greedy(own, scaled(images[:1]))
    assert all(1 <= len(row) <= 3 for row in mine.search(mine.features(images), beam=3, max_words=3))
    np.testing.assert_allclose(*sums_and_logits(mine, images[0], IDS), rtol=1e-4, atol=1e-4)
    words = ground(mine, photo(5, (40, 60)), CAPTION).words
    assert all(word.visual_share is not None for word in words)
