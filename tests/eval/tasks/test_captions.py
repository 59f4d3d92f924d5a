"""Captions: what is said of photos in several ways, and how it is scored."""

import json
import math

import numpy as np
import pytest

from gazeback.eval.data.captions import CaptionData
from gazeback.eval.tasks.captions import (
    ANOTHER,
    CAPTIONER,
    MEAN,
    PERSON,
    ROWS,
    TYPICAL,
    CaptionsTask,
    ScoredCaption,
    read_references,
    summarise,
)
from gazeback.models.errors import DataError, UserError


def said(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def test_summary_by_hand():
    photos = [
        ScoredCaption(said("a dog"), (said("a dog"),), nats=-3 * math.log(4), tokens=3),
        ScoredCaption(said("a dog"), (said("a man"),), nats=-3 * math.log(4), tokens=3, unknown=1),
    ]
    scores = summarise(photos)
    assert (scores["perplexity"].mean, scores["perplexity"].standard_error) == (
        pytest.approx(4),
        pytest.approx(0, abs=1e-9),
    )
    assert scores["distinct_captions"] == 1
    assert scores["distinct_words"] == 2
    assert scores["words_per_caption"] == 2
    assert scores["bleu_1"].mean == pytest.approx(3 / 4)
    assert scores["coverage"] == pytest.approx(2 / 3)  # a, dog of a, dog, man
    assert scores["token_coverage"] == pytest.approx(3 / 4)
    assert scores["known"] == pytest.approx(3 / 4)


def test_captions_without_a_captioner_have_no_perplexity():
    scores = summarise([ScoredCaption(said("a dog"), (said("a dog"),))])
    assert scores["perplexity"] is None
    assert scores["known"] is None


def test_of_nothing_there_is_no_summary():
    assert set(summarise([]).values()) == {None}


def test_log_probability_counts_every_word_and_the_end(captioner):
    features = np.random.default_rng(0).random((4, 4, 6)).astype(np.float32)
    references = [said("a red zebra"), said("two boys on grass the park")]
    read = read_references(captioner, features, references)
    nats = read["nats"]
    assert (read["tokens"], read["unknown"]) == (4 + 7, 1)
    assert np.sum(read["bins"], axis=0)[0] == 4 + 7
    expected = 0.0
    for ids in ([3, 4, 2, 1], [8, 9, 6, 7, 10, 11, 1]):
        for position, word in enumerate(ids):
            inputs = np.array([[0, *ids[:position]]])
            expected += np.asarray(captioner.log_probabilities(features[None], inputs))[0, position, word]
    assert nats == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def captions_folder(data_folder):
    names = ["1_a.png", "2_b.png", "4_missing.png", "1_a.png", "5_nothing.png"]
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [
            *({"image_id": i, "caption": c} for i in (0, 1, 2) for c in ("A red dog .", "two boys")),
            {"image_id": 99, "caption": "a dog"},
            {"image_id": 0, "caption": " . "},
        ],
    }
    (data_folder / "captions_dev.json").write_text(json.dumps(content))
    return data_folder


@pytest.fixture
def task(captioner, captions_folder, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: captioner)
    return CaptionsTask(captions_folder)


def test_what_is_wrong_with_the_annotations_is_counted(task):
    assert {reason: count for reason, count in task.skipped.items() if count} == {
        "missing image": 1,
        "duplicated image": 1,
        "caption of an unknown image": 1,
        "empty caption": 1,
        "image without a caption": 1,
    }


def test_photos_are_captioned_in_every_way(task, captioner):
    assert sorted(task.names()) == ["1_a.png", "2_b.png"]
    found = task.measure(task.subject(), task.names(), task.methods)
    for record in found.values():
        assert list(record) == list(ROWS)
        assert record[CAPTIONER]["tokens"] == 4 + 3
        assert record[PERSON] == {"caption": "a red dog", "nats": None, "tokens": 0, "unknown": 0, "bins": ()}
        assert record[ANOTHER]["caption"] == "a red dog"
        assert record[MEAN]["caption"] == str(captioner.search(captioner.mean_features[None])[0][0])
    one, two = (record[TYPICAL]["caption"] for record in found.values())
    assert one == two
    assert task.score(found["1_a.png"][CAPTIONER]) < 0
    records = {method: {name: found[name][method] for name in found} for method in ROWS}
    scores, variety = task.tables(records)
    assert [row[0] for row in scores.rows] == list(ROWS)
    assert dict(variety.rows)[PERSON][0] is None
    details = task.details(records)
    assert details["scores"][CAPTIONER]["bleu_1"]["n"] == 2
    assert json.dumps(details, allow_nan=False)
    assert task.example(task.subject(), "1_a.png", ROWS).values[PERSON] == "a red dog"


def test_a_person_is_measured_by_the_others_alone(task):
    found = task.measure(task.subject(), task.names(), task.methods)
    records = {method: {name: found[name][method] for name in found} for method in ROWS}
    # "a red dog" on "two boys": not one word
    assert task.details(records)["scores"][PERSON]["bleu_1"]["mean"] == pytest.approx(0, abs=1e-9)


def test_a_wrong_split(captions_folder):
    with pytest.raises(UserError, match=r"no captions_test.json in .*: its splits are dev"):
        CaptionData(captions_folder, "test")


def test_a_wrong_format(captions_folder):
    (captions_folder / "captions_dev.json").write_text('{"images": 7, "annotations": []}')
    with pytest.raises(DataError, match="not COCO's captions format"):
        CaptionData(captions_folder, "dev")


def test_no_photo_is_there(captions_folder):
    for name in ("1_a.png", "2_b.png"):
        (captions_folder / "dev" / name).unlink()
    with pytest.raises(DataError, match=r"no photo with captions in the all part .*; 3 are missing"):
        CaptionData(captions_folder, "dev")
