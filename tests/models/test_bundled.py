"""The captioner that comes with the package."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gazeback.models import bundled, load_captioner
from gazeback.models.errors import ModelError

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def captioner():
    return load_captioner()


@pytest.fixture(scope="module")
def astronaut():
    return np.asarray(Image.fromarray(data.astronaut()).resize((224, 224)), np.float32)[None]


def test_it_captions_a_photo(captioner, astronaut):
    caption = captioner.generate(astronaut)[0]
    assert {"man", "woman", "person", "girl", "boy", "people"} & set(caption.words)
    assert 4 <= len(caption.words) <= 20
    assert len(caption.logprobs) == len(caption.ids) + 1


def test_its_parts_fit(captioner):
    assert captioner.image_size == 224
    assert captioner.mean_features.shape == (1280,)
    assert captioner.model.output.shape == (None, None, len(captioner.vocabulary))
    assert {"dog", "red", "a", "the", "running"} <= set(captioner.vocabulary.words)


def test_language_half_equals_the_whole_model(captioner, astronaut):
    words = np.array([captioner.vocabulary.encode(["a", "man", "in", "a", "red", "shirt"])])
    words = np.concatenate([[[captioner.vocabulary.start]], words], axis=1).astype(np.int32)
    logits = np.asarray(captioner.model([astronaut, words]))[:, 1:]
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    answer = captioner.log_probabilities(captioner.features(astronaut), words)
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_the_image_does_not_saturate_the_gates(captioner, astronaut):
    """The image embedding has the scale of the word embeddings."""
    steps = captioner._steps
    image = captioner.features(astronaut).mean((1, 2)) @ steps.image_weights + steps.image_bias
    assert 0.3 < image.std() / steps.embedding[3:].std() < 4


def test_files_stay_small():
    assert sum(file.stat().st_size for file in bundled.WEIGHTS.iterdir()) <= 15 * MEGABYTE


def test_what_was_written_is_what_is_loaded(captioner, tmp_path):
    bundled.write(captioner, tmp_path)
    again = bundled.load(folder=tmp_path)
    assert (again["vocabulary"], again["once"]) == (captioner.vocabulary, captioner.once)
    for ours, theirs in zip(captioner.model.layers, again["model"].layers, strict=True):
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            step = np.abs(a).max() / 127
            np.testing.assert_allclose(
                a, b, rtol=1e-3, atol=step / 2 * 1.001 if a.size >= bundled.LARGE else 0
            )


def test_large_matrices_lose_at_most_half_a_step_of_127(tmp_path):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(300, 256)).astype(np.float32) * random.uniform(0.01, 9, 256)
    matrix[:, 7] = 0
    bundled._save(tmp_path / "x.npz", {"large": matrix, "small": matrix[:3]})
    read = bundled._read(tmp_path / "x.npz")
    assert sorted(read) == ["large", "small"]
    assert (np.abs(read["large"] - matrix) <= np.abs(matrix).max(axis=0) / 127 / 2 * 1.001).all()
    np.testing.assert_allclose(read["small"], matrix[:3], rtol=1e-3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"show_and_tell\.npz: no such file; expected the bundled captioner"):
        bundled.load(bundled.SHOW_AND_TELL, tmp_path)
