"""What the tasks that ask a captioner have in common."""

import json
import pickle
from collections import Counter

import pytest

from gazeback.eval.subjects.captioner import first_of, left_out
from gazeback.eval.tasks.captions import CaptionsTask
from gazeback.eval.tasks.generated import GeneratedTask
from gazeback.eval.tasks.phrases import PhrasesTask
from gazeback.eval.tasks.preceding import PrecedingTask
from gazeback.eval.tasks.removal import RemovalTask
from gazeback.eval.tasks.words import WordsTask
from gazeback.models.errors import ModelError

TASKS = (CaptionsTask, PhrasesTask, GeneratedTask, RemovalTask, WordsTask, PrecedingTask)


@pytest.fixture
def folder(data_folder):
    images = [{"id": i, "file_name": name} for i, name in enumerate(("1_a.png", "2_b.png"))]
    annotations = [{"image_id": i, "caption": "a dog"} for i in (0, 1)]
    content = {"images": images, "annotations": annotations}
    (data_folder / "captions_dev.json").write_text(json.dumps(content))
    return data_folder


@pytest.mark.parametrize("kind", TASKS)
def test_a_task_travels_to_other_processes_before_and_after_it_has_read(kind, folder):
    task = kind(folder)
    before = pickle.loads(pickle.dumps(task))
    assert list(before.names()) == list(task.names())
    after = pickle.loads(pickle.dumps(task))
    assert list(after.names()) == list(task.names())
    assert list(after.methods) == list(task.methods)


@pytest.mark.parametrize("kind", TASKS)
def test_records_are_of_these_annotations_and_photos(kind, folder):
    bundled = kind(folder).cache_key()
    assert bundled == kind(folder, limit=1, part="tune").cache_key()
    assert json.loads(json.dumps(bundled)) == bundled
    task = kind(folder)
    assert [file.name for file in task.files(task.names()[0])] == [task.names()[0]]
    for name in ("phrases_dev.json", "captions_dev.json"):
        (folder / name).write_text((folder / name).read_text() + " ")
    assert kind(folder).cache_key() != bundled


def test_a_missing_captioner(folder):
    task = PhrasesTask(folder, model="nowhere.keras")
    assert task.cache_key()["model"] == "nowhere.keras"
    with pytest.raises(ModelError, match=r"nowhere\.keras"):
        task.subject()


def test_what_records_leave_out_is_added_up():
    records = {"1.jpg": {"left out": {"empty box": 2}}, "2.jpg": {}, "3.jpg": {"left out": {"empty box": 1}}}
    assert left_out(records.values()) == Counter({"empty box": 3})
    assert first_of({"evidence": records, "center": {}}) == records


@pytest.mark.parametrize("kind", [PhrasesTask, CaptionsTask, WordsTask, PrecedingTask])
def test_images_of_the_result_page(kind, folder, captioner, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: captioner)
    task = kind(folder)
    shown = task.example(task.subject(), "1_a.png", task.methods)
    if kind is PhrasesTask:
        assert set(shown.maps) == {"evidence", "center", "activation"}
        assert shown.title.split(" in: ")[0] in ("A red dog (dog)", "the grass (grass)", "Two boys (boys)")
        assert shown.boxes
    if kind is WordsTask:
        said = [word for word in shown.title.split() if word.isalpha()]
        assert said == ["a", "red", "dog", "on", "the", "grass"]
    assert (shown is None) == (kind is PrecedingTask)
