"""A captioner's words: which are asked about, their labels, and what is said without their filters."""

import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.eval.interpretation import words
from gazeback.eval.interpretation.command import interpret
from gazeback.eval.interpretation.forward import Network
from gazeback.eval.interpretation.relevant import Feature, RelevantFeatures
from gazeback.eval.interpretation.words import Kept, PhotosByWord, summarise
from gazeback.models.errors import UserError
from gazeback.models.training.captions_folder import read_captions_folder


@pytest.fixture
def captions_folder(tmp_path):
    """Four photos a split; "dog" is said of all, "red" of two, "zebra" is not in the vocabulary."""
    rng = np.random.default_rng(0)
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        images, annotations = [], []
        for number in range(4):
            name = f"{number}.png"
            Image.fromarray(rng.integers(0, 256, (40, 32, 3), np.uint8)).save(tmp_path / split / name)
            images.append({"id": number, "file_name": name})
            said = ["A dog on the grass .", "A red zebra ." if number < 2 else "Two zebras ."]
            annotations += [{"image_id": number, "caption": caption} for caption in said]
        content = {"images": images, "annotations": annotations}
        (tmp_path / f"captions_{split}.json").write_text(json.dumps(content))
    return tmp_path


def test_the_figures_are_what_a_report_reads(captions_folder, captioner, tmp_path, monkeypatch):
    monkeypatch.setattr(words, "load_captioner", lambda _: captioner)
    monkeypatch.setattr("gazeback.eval.interpretation.pages.SHOWN", 1)
    command = [
        "--model",
        "captioner",
        "--data",
        captions_folder,
        "--words",
        "dog,red",
        "--out",
        tmp_path / "out",
    ]
    command += ["--json", tmp_path / "words.json"]
    result = CliRunner().invoke(interpret, list(map(str, command)), catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads((tmp_path / "words.json").read_text())
    assert [table["title"] for table in found["tables"]][:2] == [
        "Relevant filters, variant all",
        "Words without their relevant filters",
    ]
    assert found["learned from"] == 4
    assert "command" in found


def test_the_most_frequent_nouns_and_colours_that_the_captioner_knows(captions_folder, captioner):
    train, _ = read_captions_folder(captions_folder)
    found = words.chosen_words(train, captioner, None)
    assert set(found) == {"dog", "grass", "red"}
    assert found[-1] == "red"
    assert words.chosen_words(train, captioner, " red,dog, red") == ("red", "dog")


@pytest.mark.parametrize("asked", ["zebra", "park", ","])
def test_words_that_nobody_says_or_knows_are_refused(captions_folder, captioner, asked):
    train, _ = read_captions_folder(captions_folder)
    with pytest.raises(UserError, match="is in no caption of the train split or not in the vocabulary"):
        words.chosen_words(train, captioner, asked)


def test_a_photo_has_the_words_of_all_its_captions(captions_folder):
    train, _ = read_captions_folder(captions_folder)
    labels = words.mentions(train, ("dog", "red", "grass"))
    assert labels.tolist() == [[True, True, True]] * 2 + [[True, False, True]] * 2


def test_the_encoder_ends_at_its_last_map(captioner):
    network = Network.of(captioner)
    assert [one.name for one in network.forward.layers] == ["last_map"]
    images = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32) * 255
    maps = network.forward.ablated(images, np.zeros((1, 2, 6), bool))[0]
    assert maps == pytest.approx(captioner.features(images), abs=1e-5)


def test_only_words_of_generated_captions_are_measured(captioner, captions_folder):
    _, dev = read_captions_folder(captions_folder)
    network = Network.of(captioner)
    generated = [captioner.generate(network.read(path)[None])[0].words for path in dev.photos]
    said = PhotosByWord.of(captioner, network, dev, captioner.vocabulary.words[3:], Counter())
    for word, photos in said.photos.items():
        assert len(photos) == sum(word in caption for caption in generated)


def test_without_all_filters_every_photo_has_the_caption_of_no_picture(captioner, captions_folder):
    """The selected filters are all of the layer, so the random ones are the same."""
    _, dev = read_captions_folder(captions_folder)
    network = Network.of(captioner)
    empty = captioner.search(np.zeros((1, 4, 4, 6), np.float32))[0][0].words
    photos = [(path.name, network.read(path)) for path in dev.photos]
    asked = ("dog", *empty[:1])
    said = PhotosByWord(dict.fromkeys(asked, photos))
    every = tuple(Feature("last_map", number, 1.0) for number in range(6))
    found = RelevantFeatures(asked, {"last_map": 6}, dict.fromkeys(asked, every), 10.0, "all")
    for one in words.measure(captioner, network.forward, found, said):
        assert (one.selected[-1] == (one.word in empty)).all()
        assert (one.random[-1] == (one.word in empty)).all()
        assert one.selected.shape == (len(words.COUNTS), len(one.names))
        assert one.random.shape == (len(words.COUNTS), 10, len(one.names))


def test_shares_by_hand():
    gone = np.zeros((len(words.COUNTS), 4), bool)
    half = np.zeros((len(words.COUNTS), 10, 4), bool)
    half[:, :5] = True
    found = summarise([Kept("dog", ("a", "b", "c", "d"), gone, half)], "all")
    row = found["curve"][-1]
    assert (row["selected"]["mean"], row["random"]["mean"]) == (0, 0.5)
    assert row["difference"]["mean"] == -0.5
    assert row["difference"]["standard_error"] == 0
    assert row["ratio"] == 2
    assert found["words"][0]["photos"] == 4
    assert summarise([], "all") == {"words": [], "curve": []}
