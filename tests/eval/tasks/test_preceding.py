"""What words owe to the words before them: gradients against finite differences, correlations by hand."""

import json
from collections import Counter
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr
from twins.captioners import VOCABULARY, captioner_inputs
from twins.captioners import captioner as recurrent_model

from gazeback.eval.command import evaluate as evaluate_command
from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.subjects.captioner import model_input
from gazeback.eval.tasks.preceding import (
    MEASURES,
    EarlierWords,
    differences,
    gradient_embedding,
    measured_words,
    summarise,
)
from gazeback.grounding.captions import preceding_contributions
from gazeback.grounding.preceding import measured, removal
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError

IDS = [3, 5, 1, 4]


def small_captioner(kind):
    keras.utils.set_random_seed(4)
    return captioner_of(recurrent_model(kind))


def captioner_of(model):
    return Captioner(model, SimpleNamespace(start=2, end=0), np.zeros(3), "last", "small")


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gradient_times_embedding_is_the_change_when_an_embedding_grows(kind):
    captioner = small_captioner(kind)
    rng = np.random.default_rng(1)
    embedding = next(layer for layer in captioner.model.layers if isinstance(layer, keras.layers.Embedding))
    weights = rng.normal(size=(VOCABULARY, 4)).astype(np.float32)
    embedding.set_weights([weights])
    image = captioner_inputs(rng, n=1)[0]
    found = gradient_embedding(captioner, image[0], IDS)
    inputs, step = [image, np.array([[2, *IDS[:-1]]], np.int32)], 1e-2
    for k, word in enumerate(IDS[:-1]):
        logits = []
        for scale in (1 + step, 1 - step):
            changed = weights.copy()
            changed[word] *= scale
            embedding.set_weights([changed])
            logits.append(np.asarray(captioner.model(inputs))[0])
        slope = (logits[0] - logits[1]) / (2 * step)
        for j in range(k + 1, len(IDS)):
            assert found[j, k] == pytest.approx(slope[j + 1, IDS[j]], abs=1e-4)
    np.testing.assert_array_equal(np.triu(found), 0)
    assert np.abs(found).max() > 1e-3


def test_a_captioner_without_an_embedding_layer_is_told():
    image = keras.Input((6, 6, 3), name="image")
    words = keras.Input((4,), dtype="int32", name="words")
    x = keras.layers.Reshape((1, 3))(keras.layers.GlobalAveragePooling2D()(image))
    text = keras.layers.Dense(3)(keras.layers.CategoryEncoding(7, "one_hot")(words))
    steps = keras.layers.Concatenate(axis=1)([x, text])
    model = keras.Model(
        [image, words], keras.layers.Dense(7)(keras.layers.LSTM(4, return_sequences=True)(steps))
    )
    captioner = captioner_of(model)
    with pytest.raises(UserError, match="needs words that go through an Embedding layer"):
        gradient_embedding(captioner, np.zeros((6, 6, 3), np.float32), IDS)


def test_the_gradient_comes_with_the_package(captioner):
    image = np.random.default_rng(2).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    found = measured(captioner, image, captioner.features(image[None]), [3, 4, 5])
    assert list(found) == ["removal", "gradient"]
    np.testing.assert_array_equal(found["gradient"], gradient_embedding(captioner, image, [3, 4, 5]))


def measured_photo(captioner, folder, skipped):
    image = next(image for image in PhraseData(folder, "dev") if image.file_name == "1_a.png")
    pixels, _ = model_input(image.path, 32)
    return pixels, measured_words(captioner, image, pixels, skipped)


def test_every_known_word_with_three_before_it_is_measured(captioner, data_folder):
    skipped = Counter()
    _, words = measured_photo(captioner, data_folder, skipped)
    asked = [(one.sentence, one.position, one.word) for one in words]
    assert asked == [(0, 3, "on"), (0, 4, "the"), (0, 5, "grass")]
    for one in words:
        assert list(one.measures) == list(MEASURES)
        assert {values.shape for values in (one.removal, *one.measures.values())} == {(one.position,)}
        assert list(one.measures["distance"]) == list(range(-one.position, 0))
        assert one.correlations["constant"] == 0
    assert skipped["unknown word"] == 1


def test_the_measures_are_those_of_the_whole_caption(captioner, data_folder):
    pixels, words = measured_photo(captioner, data_folder, Counter())
    ids = captioner.vocabulary.encode(["a", "red", "dog", "on", "the", "grass"])
    (exact,) = preceding_contributions(captioner, pixels, [ids])
    slope = gradient_embedding(captioner, pixels, ids)
    drops = removal(captioner, captioner.features(pixels[None]), ids)
    for one in words:
        for values, expected in (
            (one.measures["contribution"], exact), (one.measures["gradient"], slope), (one.removal, drops),
        ):  # fmt: skip
            np.testing.assert_allclose(values, expected[one.position, : one.position], atol=1e-6)


def test_a_record_holds_all(captioner, data_folder):
    for one in measured_photo(captioner, data_folder, Counter())[1]:
        again = EarlierWords.of(json.loads(json.dumps(one.record())))
        assert again.as_json() == one.as_json()
        assert list(again.removal) == list(one.removal)


def before(drops, contribution):
    n = len(drops)
    values = (np.array(contribution, float), -np.array(contribution, float), np.arange(n) - n, np.zeros(n))
    return EarlierWords(0, n, "word", np.array(drops, float), dict(zip(MEASURES, values, strict=True)))


def test_summary_by_hand():
    photos = {
        "1.jpg": [before([1, 2, 3], [10, 20, 30]), before([1, 2, 3], [30, 20, 10])],
        "2.jpg": [before([4, 5, 6], [40, 60, 50])],
        "3.jpg": [],
    }
    summary = summarise(photos)
    assert summary["contribution"]["per_word"]["mean"] == pytest.approx((1 - 1 + 0.5) / 3)
    assert summary["distance"]["per_word"]["mean"] == pytest.approx(1)
    assert (summary["contribution"]["per_word"]["n"], summary["contribution"]["per_word"]["groups"]) == (3, 2)
    pooled = summary["contribution"]["pooled"]
    drops, values = [1, 2, 3, 1, 2, 3, 4, 5, 6], [10, 20, 30, 30, 20, 10, 40, 60, 50]
    assert pooled["mean"] == pytest.approx(spearmanr(drops, values).statistic)
    assert (pooled["n"], pooled["groups"]) == (9, 2)
    without = [spearmanr(drops[6:], values[6:]).statistic, spearmanr(drops[:6], values[:6]).statistic]
    jackknife = np.sqrt(1 / 2 * sum((one - np.mean(without)) ** 2 for one in without))
    assert pooled["standard_error"] == pytest.approx(jackknife)
    assert summary["constant"]["pooled"]["mean"] == 0
    compared = differences(photos)
    assert compared["contribution - gradient"]["mean"] == pytest.approx(2 * (1 - 1 + 0.5) / 3)
    assert list(compared) == ["contribution - gradient", "contribution - distance", "gradient - distance"]


def test_of_nothing_there_is_no_summary():
    assert summarise({"1.jpg": []})["gradient"]["pooled"]["n"] == 0
    one = summarise({"1.jpg": [before([1, 2, 3], [1, 2, 3])]})["contribution"]["pooled"]
    assert (one["mean"], one["standard_error"]) == (pytest.approx(1), None)


def test_the_command(captioner, data_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: captioner)
    path = tmp_path / "preceding.json"
    arguments = ["preceding", "--data", str(data_folder), "--json", str(path)]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(evaluate_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "6 words, 24 pairs of words, 2 photos" in result.output
    assert "missing image: 1" in result.output
    written = json.loads(path.read_text())
    assert (written["task"], written["about"]["model"]) == ("preceding", "bundled")
    assert set(written["measures"]) == set(MEASURES)
    words = written["images"][0]["words"]
    assert [word["word"] for word in words] == ["on", "the", "grass"]
    assert set(words[0]) == {"sentence", "position", "word", *MEASURES}
