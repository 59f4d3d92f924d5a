import numpy as np
import pytest

from gazeback.eval.phrases_data import Phrase, PhraseData, Sentence, Words
from gazeback.eval.words import evaluate, kinds_of, summarise, visual_nats, visual_share


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


def test_photos_words_and_what_is_left_out(captioner, data_folder):
    data = PhraseData(data_folder, "dev")
    results = [result for result in evaluate(captioner, data) if result is not None]
    shares = {image.file_name: shares for image, shares in results}
    counts = {kind: row["visual"]["n"] for kind, row in summarise(shares).items()}
    assert counts == {"function words": 6, "nouns": 6, "colours": 2, "other words": 2}
    assert data.skipped["unknown word"] == 6


def test_summary_by_hand():
    shares = {
        "1.jpg": {"nouns": [(1.0, 0.5), (2.0, 1.0)], "function words": [], "colours": [], "other words": []},
        "2.jpg": {"nouns": [(0.0, 0.0)], "function words": [], "colours": [], "other words": []},
    }
    table = summarise(shares)
    assert table["nouns"]["visual_share"]["mean"] == 0.5
    assert table["nouns"]["visual"]["mean"] == 1.0
    assert table["nouns"]["visual"]["groups"] == 2
    assert table["colours"]["visual"] == {"n": 0, "groups": 0, "mean": None, "standard_error": None}
