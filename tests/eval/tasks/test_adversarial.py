"""Maps of coloured squares before and after DeepFool."""

import json

import numpy as np
import pytest
from twins.soft_colours import soft

from gazeback.eval.perturbations.deepfool import Fooled
from gazeback.eval.tasks.adversarial import AdversarialTask, compared


@pytest.fixture
def task(squares_folder, colours, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: soft(colours))
    return AdversarialTask(squares_folder, "colours", None, "all", 4, "evidence")


def test_by_hand():
    mask = np.array([[True, False], [False, False]])
    maps = np.array([[[2.0, 1], [1, 0]], [[4, 2], [2, 0]], [[0, 1], [1, 2]]])
    found = compared(maps, mask)
    assert found["energy"] == found["energy changed"] == 0.5
    assert found["energy new"] == 0
    assert found["correlation changed"] == pytest.approx(1)
    assert found["correlation new"] == pytest.approx(-1)


def test_scale_and_flips_change_nothing():
    rng = np.random.default_rng(0)
    maps, mask = rng.random((3, 6, 7)), rng.random((6, 7)) > 0.6
    expected = compared(maps, mask)
    assert compared(7 * maps, mask) == pytest.approx(expected)
    assert compared(maps[:, :, ::-1], mask[:, ::-1]) == pytest.approx(expected)


def test_the_new_class_has_its_evidence_elsewhere(task):
    names = list(task.names())
    found = task.measure(task.subject(), names, task.methods)
    assert set(found) == set(names)
    for records in found.values():
        record = records["evidence"]
        assert record["fooled"] == 1
        assert record["energy"] > 0.8
        assert record["relative"] > 0
        assert set(records["center"]) == set(record)
        assert records["center"]["correlation new"] == pytest.approx(1)
        assert record["correlation new"] < record["correlation changed"]
    by_method = {method: {name: found[name][method] for name in names} for method in task.methods}
    assert json.loads(json.dumps(by_method)) == by_method
    maps, changes = task.tables(by_method)
    assert [label for label, _ in maps.rows] == ["evidence", "center", "activation"]
    assert changes.rows[0][1][0].mean == 1
    assert (
        task.score(by_method["evidence"][names[0]]) == by_method["evidence"][names[0]]["correlation changed"]
    )


def test_photos_that_are_predicted_wrong_are_left_out(task, monkeypatch):
    wrong = task.read.images[0]
    object.__setattr__(wrong, "label", (wrong.label + 1) % 3)
    found = task.measure(task.subject(), list(task.names()), ["center"])
    assert wrong.name not in found
    assert len(found) == 3


def test_a_photo_that_cannot_be_fooled_has_no_maps_to_compare(task, monkeypatch):
    monkeypatch.setattr(
        "gazeback.eval.tasks.adversarial.deepfool.deepfool", lambda classifier, photo: Fooled(photo, 0, 0, 50)
    )
    names = list(task.names())
    found = task.measure(task.subject(), names, ["center"])
    assert all(of_image["center"]["fooled"] == 0 for of_image in found.values())
    assert all("energy" not in of_image["center"] for of_image in found.values())
    table, _ = task.tables({"center": {name: found[name]["center"] for name in names}})
    assert table.rows[0][1][0].n == 0
    assert task.score(found[names[0]]["center"]) is None
