"""Captioners of somebody's own are measured as the bundled one is, named by the function that makes them."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from gazeback.eval.baselines.short_routes import Question
from gazeback.eval.command import evaluate
from gazeback.eval.subjects.captioner import CaptionerSubject
from gazeback.eval.tasks.preceding import gradient_embedding
from gazeback.grounding import ground
from gazeback.models.from_code import made_by

CODE = """
import keras
import numpy as np
from keras import layers
from gazeback.models import wrap_captioner

WORDS = ["", "start", "end", "a", "red", "dog", "on", "grass", "two", "boys", "the", "park"]


def captioner(mean=True, size=(32, 32)):
    keras.utils.set_random_seed(3)
    image = keras.Input((*size, 3))
    x = layers.Conv2D(6, 8, 8, activation="relu", name="last")(layers.Rescaling(1 / 127.5, -1.0)(image))
    encoder = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    features, words = keras.Input((6,)), keras.Input((9,), dtype="int32")
    x = layers.add([layers.Dense(8)(features), layers.LSTM(8)(layers.Embedding(12, 5)(words))])
    decoder = keras.Model([features, words], layers.Dense(12, activation="softmax")(x), name="mine")
    decoder.layers[-1].bias.assign(4.0 * (np.arange(12) == 5))  # it says "dog"
    photos = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    parts = {"encoder": encoder, "decoder": decoder, "tokenizer": WORDS, "start": "start", "end": "end"}
    return wrap_captioner(**parts, mean=list(photos) if mean else None)


def without_mean():
    return captioner(mean=False)


def oblong():
    return captioner(size=(32, 40))
"""


@pytest.fixture
def run(data_folder, tmp_path, monkeypatch):
    (data_folder / "dev" / "3_c.png").unlink()
    captions = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(("1_a.png", "2_b.png"))],
        "annotations": [{"image_id": i, "caption": "a red dog on the grass"} for i in (0, 1)],
    }
    (data_folder / "captions_dev.json").write_text(json.dumps(captions))
    (tmp_path / "their_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_code", raising=False)

    def invoke(task, function="captioner", *options):
        asked = [task, "--data", data_folder, "--model", f"their_code:{function}", "--json", "found.json"]
        return CliRunner().invoke(evaluate, [str(x) for x in (*asked, *options)])

    return invoke


@pytest.mark.parametrize(
    ("task", "methods"),
    [
        ("phrases", "evidence,grad-cam,occlusion,center"),
        ("words", None),
        ("preceding", None),
        ("generated", "evidence,center"),
        ("removal", "evidence"),
        ("captions", None),
    ],
)
def test_it_is_measured(run, task, methods, tmp_path):
    result = run(task, "captioner", *(["--methods", methods] if methods else []))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert "their_code:captioner" in json.dumps(found)


def test_what_does_not_fit_is_one_line(run):
    def told(task, function):
        result = run(task, function)
        assert result.exit_code
        return str(result.exception) + result.output

    assert "mine has no average picture, which words needs; pass mean=, some photos" in told(
        "words", "without_mean"
    )
    assert "mine reads images of 32 x 40; expected a captioner of squares" in told("phrases", "oblong")


def test_occlusion_drops_its_log_probabilities(run):
    mine = made_by("their_code:captioner")
    pixels = np.random.default_rng(1).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    features = mine.features(pixels[None])[0]
    maps = CaptionerSubject(mine).maps("occlusion", Question(pixels, features, [3, 4, 5], [1, 2]))
    assert maps.shape == (2, 32, 32)
    assert maps.min() >= 0 < maps.max()


def test_gradient_times_embedding_of_the_words_before(run):
    mine = made_by("their_code:captioner")
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    values = gradient_embedding(mine, pixels, [3, 4, 5])
    assert np.array_equal(values != 0, np.tril(np.ones((3, 3), bool), -1))
    words = ground(mine, pixels, "a red dog", preceding=True).words
    np.testing.assert_allclose(words[2].preceding_by["gradient"], values[2, :2], rtol=1e-4)
