from collections import Counter

import numpy as np
import pytest

from gazeback.eval.data.image import Phrase, Sentence, Words
from gazeback.eval.tasks.words import (
    SHARE,
    WordShare,
    WordsTask,
    by_position,
    kinds_of,
    place_of,
    summarise,
    visual_nats,
    visual_share,
)


def test_the_share_by_hand():
    nats = np.array([np.log(2), np.log(4), 0.0, -3.0])
    np.testing.assert_allclose(visual_share(nats), [0.5, 0.75, 0, 0])


def test_no_warning_for_extreme_nats():
    np.testing.assert_allclose(visual_share(np.array([-1e4, 1e4])), [0, 1])


def test_kinds(captioner):
    sentence = Sentence(
        ("A", "red", "dog", ",", "on", "the", "grass", "with", "it"),
        (
            Phrase("A red dog", 0, 3, ("animals",), ()),
            Phrase("the grass", 5, 7, ("notvisual",), ()),
            Phrase("it", 8, 9, ("animals",), ()),
        ),
    )
    kinds = kinds_of(sentence, Words.of(sentence, captioner.vocabulary))
    assert kinds == [
        "function words",
        "colours",
        "nouns",
        "function words",
        "function words",
        "other words",
        "function words",
        "other words",
    ]


def test_captions_of_different_lengths_answer_as_they_do_alone(captioner):
    features = np.random.default_rng(0).random((1, 4, 4, 6)).astype(np.float32)
    captions = [[3, 4, 5, 6, 7], [8, 9], [3]]
    together = visual_nats(captioner, features, captions)
    for caption, visual in zip(captions, together, strict=True):
        assert visual.shape == (len(caption),)
        np.testing.assert_allclose(visual, visual_nats(captioner, features, [caption])[0], atol=1e-5)


def test_the_counterfactual_word_by_word(captioner):
    features = np.random.default_rng(1).random((1, 4, 4, 6)).astype(np.float32)
    mean = np.broadcast_to(captioner.mean_features, (1, 4, 4, 6))
    visual = visual_nats(captioner, features, [[3, 4, 5]])[0]
    for position, word in enumerate((3, 4, 5)):
        words = np.array([[0, 3, 4, 5][: position + 1]])
        with_photo = np.asarray(captioner.log_probabilities(features, words))[0, position, word]
        without = np.asarray(captioner.log_probabilities(mean, words))[0, position, word]
        assert visual[position] == pytest.approx(with_photo - without, abs=1e-5)


def test_the_mean_picture_adds_nothing(captioner):
    mean = np.broadcast_to(captioner.mean_features, (1, 4, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(visual_nats(captioner, mean, [[3, 4, 5, 6]])[0], 0, atol=1e-5)


def test_verbs_in_ing_are_told_by_their_suffix_and_nouns_by_their_phrase(captioner):
    phrases = (Phrase("a clearing", 3, 5, ("scene",), ()), Phrase("running", 0, 1, ("other",), ()))
    sentence = Sentence(("running", "building", "jumping", "a", "clearing"), phrases)
    kinds = kinds_of(sentence, Words.of(sentence, captioner.vocabulary))
    assert kinds == ["nouns", "other words", "verbs in -ing", "function words", "nouns"]


@pytest.fixture
def task(captioner, data_folder, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: captioner)
    (data_folder / "dev" / "3_c.png").unlink()
    return WordsTask(data_folder)


def test_photos_words_and_what_is_left_out(task):
    records = task.measure(task.subject(), task.names(), task.methods)
    assert sorted(records) == ["1_a.png", "2_b.png"]
    by_method = {SHARE: {name: of_image[SHARE] for name, of_image in records.items()}}
    counts = Counter(word[0] for record in by_method[SHARE].values() for word in record["words"])
    assert counts == {"function words": 6, "nouns": 6, "colours": 2, "other words": 2}
    details = task.details(by_method)
    assert details["left out"]["unknown word"] == 6
    assert details["kinds"]["nouns"]["visual"]["n"] == 6
    kinds, places = task.tables(by_method)
    assert [row[0].removesuffix(" *") for row in kinds.rows] == [
        "function words", "nouns", "colours", "verbs in -ing", "other words",
    ]  # fmt: skip
    assert places.rows[0][1][0].n == 2 * 2  # the two sentences that begin with a known word


def shares(kind, *visual):
    return [WordShare(kind, i + 1, value) for i, value in enumerate(visual)]


def test_summary_by_hand():
    table = summarise({"1.jpg": shares("nouns", np.log(2), 50), "2.jpg": shares("nouns", 0)})
    assert table["nouns"]["visual_share"]["mean"] == pytest.approx(0.5)
    assert table["nouns"]["visual"]["mean"] == pytest.approx((np.log(2) + 50) / 3)
    assert table["nouns"]["visual"]["groups"] == 2
    assert table["colours"]["visual"] == {"n": 0, "groups": 0, "mean": None, "standard_error": None}


def test_shares_by_position_by_hand():
    photos = {"1.jpg": shares("nouns", np.log(2), 0.0), "2.jpg": shares("colours", 50)}
    table = by_position(photos)
    assert table["nouns"]["1"]["mean"] == pytest.approx(0.5)
    assert table["all words"]["1"]["mean"] == pytest.approx(0.75)
    assert table["all words"]["2"]["mean"] == 0
    assert [place_of(n) for n in (1, 4, 5, 6, 9, 12, 13, 40)] == [
        "1", "4", "5 to 6", "5 to 6", "7 to 9", "10 to 12", "13 and more", "13 and more",
    ]  # fmt: skip
