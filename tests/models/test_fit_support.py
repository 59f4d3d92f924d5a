"""What is learned about which words are true."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from gazeback.eval.data.selection import part_of
from gazeback.models import load_captioner
from gazeback.models.captioner import Captioner
from gazeback.models.errors import DataError
from gazeback.models.support import Support
from gazeback.models.training import fit_support as fitting
from gazeback.models.training.captions_folder import (
    read_captions_folder,
    read_everyday,
    read_train_split,
    read_tune_part,
)
from gazeback.models.training.fit_support import Examples, detection, fit_support, logistic
from gazeback.models.training.support_command import support
from gazeback.models.word_cues import available_cues, fingerprint


def test_logistic_finds_the_weights_that_made_the_words():
    random = np.random.default_rng(0)
    cues, weights = random.normal(size=(20_000, 2)), np.array([1.5, -0.5, 0.25])
    true = random.random(20_000) < 1 / (1 + np.exp(-(cues @ weights[:2] + weights[2])))
    np.testing.assert_allclose(logistic(cues, true, np.ones(20_000)), weights, atol=0.06)
    detected = np.where(
        np.arange(20_000) < 10_000, 1.0, 0.5
    )  # half of the photos show half of the true words
    found = true & (random.random(20_000) < detected)
    np.testing.assert_allclose(logistic(cues, found, detected), weights, atol=0.1)


def test_detection_by_hand():
    # two true words of photos with three captions, said in one and in all; another photo has one caption
    examples = Examples(np.zeros((4, 1)), np.array([1, 3, 0, 1]), np.array([3, 3, 3, 1]))
    assert detection(examples).tolist() == pytest.approx([1, 1, 1, (1 / 3 + 1) / 2])


@pytest.fixture
def red_photos(tiny_captioner, monkeypatch):
    """The tiny captioner, which calls every photo a red one."""
    monkeypatch.setattr(fitting, "LEAST", 1)
    said = SimpleNamespace(ids=tuple(tiny_captioner.vocabulary.encode(["a", "red", "photo"])))
    monkeypatch.setattr(Captioner, "search", lambda self, features: [[said]])
    return tiny_captioner


def test_it_is_fitted_on_what_the_captioner_says(red_photos, captions_folder):
    split, told = read_train_split(captions_folder), []
    found = fit_support(red_photos, [split], 12, lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert found.cues == available_cues(red_photos)
    assert found.captioner == fingerprint(red_photos)
    words = red_photos.vocabulary.words
    assert found.frequency[words.index("red")] == 0.25  # of the photos
    assert found.frequency[words.index("photo")] == 1
    assert found.weights[found.cues.index("frequency")] > 0  # "photo" is always true, "red" of one in four


def test_too_few_words_are_refused(tiny_captioner, captions_folder):
    with pytest.raises(DataError, match="expected at least 20 that they say"):
        fit_support(tiny_captioner, [read_train_split(captions_folder)], 2)


def test_every_tenth_photo_is_set_apart(captions_folder):
    whole, apart = read_train_split(captions_folder), read_everyday(captions_folder)[1]
    assert (apart.photos, apart.captions) == ((whole.photos[9],), (whole.captions[9],))


def test_the_tune_part_is_that_of_the_evaluation(captions_folder):
    dev = read_captions_folder(captions_folder)[1]
    expected = [photo for photo in dev.photos if part_of(photo.name) == "tune"]
    assert list(read_tune_part(captions_folder).photos) == expected
    assert 0 < len(expected) < len(dev)


def test_the_command_asks_for_photos(tmp_path):
    result = CliRunner().invoke(support, ["--out", str(tmp_path / "x.npz")])
    assert str(result.exception) == "expected photos to learn from: give --data, --everyday or --tune"


@pytest.mark.parametrize("ending", ["keras", "npz"])
def test_the_command_writes_it(red_photos, captions_folder, tmp_path, ending):
    red_photos.save(tmp_path / "mine.keras")
    out = tmp_path / f"out.{ending}"
    options = [
        "--data",
        captions_folder,
        "--model",
        tmp_path / "mine.keras",
        "--photos",
        12,
        "--json",
        "--everyday",
        captions_folder,
        "--tune",
        captions_folder,
    ]
    result = CliRunner().invoke(support, [*map(str, options), "--out", str(out)], catch_exceptions=False)
    weights = json.loads(result.stdout)["weights"]
    assert list(weights) == list(available_cues(red_photos))
    if ending == "keras":
        assert load_captioner(out).support.weights == pytest.approx(list(weights.values()), rel=1e-4)
    else:
        assert Support.read(out, str(out)).cues == tuple(weights)
