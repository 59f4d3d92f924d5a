"""Which words of generated captions are true: by references, phrases with boxes, and COCO's objects."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gazeback.eval.tasks.support import SCORES, SUPPORT, SupportTask
from gazeback.eval.tasks.support_tables import Judged, areas_table, calibration_table, chair_table
from gazeback.models.captioner import Captioner
from gazeback.models.support import CUES, Support
from gazeback.models.word_cues import fingerprint

SAID = ("two", "dogs", "on", "the", "grass", "park")


@pytest.fixture
def supported(captioner, monkeypatch) -> Captioner:
    """The tiny captioner with a support, which says of every photo "a red dog on grass"."""
    one, count = replace(captioner), len(CUES)
    parts = (np.zeros(count), np.ones(count), np.zeros(count), np.zeros(1), np.arange(12), np.ones(12))
    one.support = Support(tuple(CUES), *parts, fingerprint(one))
    words = ("a", "red", "dog", "on", "grass")
    caption = SimpleNamespace(words=words, ids=tuple(one.vocabulary.encode(words)))
    monkeypatch.setattr(Captioner, "search", lambda self, features: [[caption]])
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: one)
    return one


def records_of(task):
    found = task.measure(task.subject(), task.names(), task.methods)
    return {SUPPORT: {name: of[SUPPORT] for name, of in found.items()}}


def write_captions(folder, captions):
    images = [{"id": 1, "file_name": "1_a.png", "height": 32, "width": 32}]
    annotations = [{"id": i, "image_id": 1, "caption": text} for i, text in enumerate(captions)]
    folder.mkdir(exist_ok=True)
    (folder / "captions_dev.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def test_words_in_references_and_in_phrases_with_boxes(supported, data_folder):
    write_captions(data_folder, ["Two dogs play .", "Grass is greener"])
    task = SupportTask(data_folder)
    (record,) = records_of(task)[SUPPORT].values()
    found = {word["word"]: (word["said"], word.get("boxed")) for word in record["words"]}
    # phrases with boxes: a red dog, the grass, two boys, zebras; only nouns are judged by them
    assert found == {"red": (False, None), "dog": (True, True), "grass": (True, True)}
    assert all(word["scores"].keys() == SCORES.keys() for word in record["words"])
    assert [word["scores"][SUPPORT] for word in record["words"]] == [0.5] * 3  # all weights are 0
    assert task.score(record) == pytest.approx(0.75)
    areas, curve = task.tables({SUPPORT: {"1_a.png": record}})
    assert list(areas.columns) == ["in a reference", "noun in a phrase with a box"]
    assert [label for label, _ in areas.rows] == list(SCORES)
    assert curve.rows == [("0.5 to 0.6", [3, 0.5, pytest.approx(2 / 3)])]


def test_hallucinated_objects(supported, tmp_path):
    (tmp_path / "dev").mkdir()
    Image.new("RGB", (32, 32), "green").save(tmp_path / "dev" / "1_a.png")
    write_captions(tmp_path / "annotations", ["a man in a park"])
    content = json.loads((tmp_path / "annotations" / "captions_dev.json").read_text())
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(("person", "dog", "cat"))]
    for category, objects in ((2, 0.0), (1, 1.0)):
        content["annotations"] = [
            {"id": 1, "image_id": 1, "category_id": category, "bbox": [0, 0, 9, 9], "iscrowd": 0}
        ]
        (tmp_path / "annotations" / "instances_dev.json").write_text(json.dumps(content))
        records = records_of(SupportTask(tmp_path))
        assert [word.get("object") for word in records[SUPPORT]["1_a.png"]["words"]] == [
            None,
            bool(objects),
            None,
        ]
        ((label, (of_objects, of_captions)),) = chair_table(records[SUPPORT]).rows
        assert (label, of_objects.mean, of_captions.mean) == ("captioner", 1 - objects, 1 - objects)


def test_a_captioner_without_support_has_the_other_figures(supported, data_folder):
    supported.support = None
    write_captions(data_folder, ["a dog"])
    task = SupportTask(data_folder)
    (areas,) = task.tables(records_of(task))
    cells = dict(areas.rows)
    assert cells[SUPPORT] == [None, None]
    assert cells["log probability"][0].n == 3


def word(said, support, **known):
    scores = dict.fromkeys(SCORES, 0.0) | {SUPPORT: support}
    return {"word": "dog", "content": True, "said": said, "scores": scores, **known}


def test_tables_by_hand():
    photos = {
        "1": {"words": [word(True, 0.9, object=True), word(False, 0.4, object=False)]},
        "2": {"words": [word(True, 0.6), word(False, 0.7), word(False, 0.1, object=False)]},
    }
    assert Judged.of(photos, "object").photos == ["1", "1", "2"]
    areas = areas_table(photos)
    assert dict(areas.rows)[SUPPORT][0].mean == pytest.approx(5 / 6)
    assert dict(areas.rows)["visual"][0].mean == 0.5
    assert "in a reference: 0.400 of 5" in areas.notes[0]
    error = (0.1 + 0.4 + 0.4 + 0.7 + 0.1) / 5
    assert f"calibration error {error:.3f}" in calibration_table(photos).notes[0]
    of_objects, of_captions = chair_table(photos).rows[0][1]
    assert (of_objects.mean, of_captions.mean) == (pytest.approx(2 / 3), 1.0)
    assert chair_table({"1": {"words": [word(True, 0.5)]}}) is None
