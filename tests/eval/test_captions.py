import json
import math

import numpy as np
import pytest

from gazeback.eval.captions import (
    CaptionedPhoto,
    evaluate,
    log_probability,
    read_captions,
    summarise,
)
from gazeback.models.errors import UserError


def said(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def test_summary_by_hand():
    photos = [
        CaptionedPhoto("1.jpg", said("a dog"), (said("a dog"),), nats=-3 * math.log(4), tokens=3),
        CaptionedPhoto("2.jpg", said("a dog"), (said("a man"),), nats=-1 * math.log(4), tokens=1),
    ]
    scores = summarise(photos)
    assert scores["perplexity"] == pytest.approx(4)
    assert scores["distinct_captions"] == 1
    assert scores["distinct_words"] == 2
    assert scores["words_per_caption"] == 2
    assert scores["bleu_1"] == pytest.approx(3 / 4)


def test_log_probability_counts_every_word_and_the_end(captioner):
    features = np.random.default_rng(0).random((4, 4, 6)).astype(np.float32)
    references = [said("a red zebra"), said("two boys on grass the park")]
    nats, tokens = log_probability(captioner, features, references)
    assert tokens == 4 + 7
    expected = 0.0
    for ids in ([3, 4, 2, 1], [8, 9, 6, 7, 10, 11, 1]):
        for position, word in enumerate(ids):
            inputs = np.array([[0, *ids[:position]]])
            expected += np.asarray(captioner.log_probabilities(features[None], inputs))[0, position, word]
    assert nats == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def captions_folder(data_folder):
    names = ["1_a.png", "2_b.png"]
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [
            {"image_id": i, "caption": caption} for i in (0, 1) for caption in ("A red dog .", "two boys")
        ],
    }
    (data_folder / "captions_dev.json").write_text(json.dumps(content))
    return data_folder


def test_photos_are_captioned(captioner, captions_folder):
    photos = read_captions(captions_folder, "dev")
    captioned = list(evaluate(captioner, photos))
    assert sorted(photo.file_name for photo in captioned) == ["1_a.png", "2_b.png"]
    assert all(photo.tokens == 4 + 3 for photo in captioned)
    assert captioned[0].references == (("a", "red", "dog"), ("two", "boys"))
    assert json.loads(json.dumps(captioned[0].as_json()))["caption"] == " ".join(captioned[0].caption)


def test_a_wrong_split(captions_folder):
    with pytest.raises(UserError, match=r"no captions_test.json in .*: its splits are dev"):
        read_captions(captions_folder, "test")
