"""Localisation of coloured squares by a classifier that looks at colours, and the command."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from gazeback.eval.command import evaluate
from gazeback.eval.data.folder import ObjectData
from gazeback.eval.data.selection import part_of
from gazeback.eval.subjects.classifier import ClassifierSubject, TrueClasses
from gazeback.eval.tasks import localization
from gazeback.eval.tasks.box_rules import SETTINGS, Answer
from gazeback.models.errors import DataError, UserError


@pytest.fixture
def measured(squares_folder, colours):
    methods = ("evidence", "fixations", "center", "activation")
    data, asked = ObjectData(squares_folder), ClassifierSubject(colours)
    return list(localization.measure(asked, TrueClasses(data, colours), data.images, methods))


@pytest.fixture
def run(squares_folder, colours, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: colours)

    def run(*arguments):
        return CliRunner(env={"COLUMNS": "200"}).invoke(
            evaluate,
            ["localization", "--data", str(squares_folder), *map(str, arguments)],
            catch_exceptions=False,
        )

    return run


def test_evidence_finds_the_square_and_nothing_for_a_colour_that_is_not_there(measured):
    assert all(image.right for image in measured)
    for image in measured:
        maps = image.scores["evidence"].maps
        assert maps["hit"] == 1
        assert maps["energy"] > 0.8
        assert (maps["wrong hit"], maps["wrong energy"]) == (0, 0)
        assert maps["energy difference"] == maps["energy"]
        assert "correlation" not in maps
        assert max(image.scores["evidence"].ious["region"]) > 0.7


def test_maps_that_ask_for_no_class_answer_alike(measured):
    for image in measured:
        for name in ("center", "activation"):
            maps = image.scores[name].maps
            assert maps["correlation"] == pytest.approx(1)
            assert (maps["hit difference"], maps["energy difference"]) == (0, 0)


def test_the_energy_of_the_centre_point_is_the_share_of_the_area(measured):
    for image in measured:
        assert image.scores["center"].maps["energy"] == pytest.approx(400 / 1024, abs=1e-4)


def test_every_rule_makes_a_box_for_every_setting(measured):
    for score in measured[0].scores.values():
        assert {rule: len(ious) for rule, ious in score.ious.items()} == {
            rule: len(SETTINGS[rule]) for rule in score.ious
        }
    assert list(measured[0].scores["evidence"].ious) == ["region", "tight"]
    assert list(measured[0].scores["activation"].ious) == ["region"]


def toy(names, ious, right):
    """Images with given IoUs [images, settings] of the rule "centre"."""
    return [
        localization.Measured(name, 0, 0 if ok else 1, {"m": localization.Score({"centre": row}, {})})
        for name, row, ok in zip(names, ious, right, strict=True)
    ]


def names_of(part, count):
    return [name for name in (f"{i}.png" for i in range(100)) if part_of(name) == part][:count]


def test_the_setting_is_chosen_on_the_tune_part_and_reported_on_the_other():
    tune = toy(names_of("tune", 2), [[0.4, 0.6, 0.9], [0.4, 0.6, 0.3]], [True, False])
    report = toy(names_of("report", 4), [[1, 0.5, 1], [1, 0.49, 1], [1, 0.71, 1], [1, 0.1, 1]], [1, 1, 0, 1])
    row = localization.box_rows(tune + report, "all")[0]
    summary = row.summary()
    assert summary["setting"] == SETTINGS["centre"][1]
    assert summary["iou 0.5"].mean == 0.5
    assert summary["iou 0.3"].mean == 0.75
    assert summary["iou 0.7"].mean == 0.25
    # right and at least 0.5: the first alone
    assert summary["localization error"].mean == 0.75
    # 1, 0, 0, 0 deviate by .25, .25, .25, .75 from their mean
    assert summary["localization error"].standard_error == pytest.approx(np.sqrt(0.75 / 3) / 2)
    assert localization.box_rows(tune + report, "tune")[0].summary()["iou 0.5"].n == 2


def test_differences_are_image_by_image():
    right = {"a": True, "b": True}
    rows = [
        localization.BoxRow("first", "tight", {}, {"a": 0.6, "b": 0.6}, right),
        localization.BoxRow("other", "tight", {}, {"a": 0.6, "b": 0.4}, right),
    ]
    assert localization.differences(rows)["other, tight"].mean == -0.5


def test_score_by_hand():
    heat, wrong = np.zeros((4, 4)), np.zeros((4, 4))
    heat[0, 0], heat[3, 3] = 3, 1
    wrong[3, 3] = 2
    answer = Answer(heat, wrong, {"tight": [(0, 0, 2, 1)]})
    found = localization.score(answer, np.array([[0, 0, 2, 2]]))
    assert found.ious == {"tight": [0.5]}
    assert found.maps["hit"] == 1
    assert found.maps["energy"] == 0.75
    assert found.maps["wrong hit"] == found.maps["wrong energy"] == 0
    # 16 values: sums 4 and 2, product 2, squares 10 and 4
    expected = (2 - 4 * 2 / 16) / np.sqrt((10 - 16 / 16) * (4 - 4 / 16))
    assert found.maps["correlation"] == pytest.approx(expected)


def test_published_boxes_belong_to_the_network_of_that_name(squares_folder):
    data = ObjectData(squares_folder)
    assert len(localization.published_for("colours", data)) == 12
    assert localization.published_for("other", data) == {}


def test_the_command(run, tmp_path):
    path = tmp_path / "result.json"
    result = run("--methods", "evidence,saliency", "--json", path)
    assert result.exit_code == 0
    for text in ("region", "published boxes", "saliency", "center", "correlation", "± standard error"):
        assert text in result.output
    written = json.loads(path.read_text())
    assert written["task"] == "localization"
    assert "sha256" in written["selection"]
    assert [row["method"] for row in written["boxes"]][-1] == "published boxes"
    # the published boxes are the true ones, with a prediction that is right for every third image
    shown = [image for image in written["images"] if image["part"] == "report"]
    published = written["boxes"][-1]
    assert published["iou 0.7"]["mean"] == 1
    assert published["localization error"]["mean"] == pytest.approx(
        np.mean([image["label"] != 0 for image in shown])
    )
    assert len(written["images"]) == 12
    assert written["maps"]["evidence"]["hit"]["n"] == 12
    assert set(written["evidence, region minus"]) >= {"saliency, region", "center, centre"}


@pytest.mark.parametrize(("part", "shown"), [("tune", "tune"), ("report", "report")])
def test_parts_of_the_command(run, tmp_path, part, shown):
    path = tmp_path / "result.json"
    assert run("--methods", "center", "--part", part, "--json", path).exit_code == 0
    written = json.loads(path.read_text())
    count = sum(image["part"] == shown for image in written["images"])
    assert written["maps"]["center"]["hit"]["n"] == written["boxes"][0]["iou 0.5"]["n"] == count


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--methods", "nothing"), UserError, "got 'nothing'"),
        (("--methods", ","), UserError, "expected one or more of evidence"),
        (("--limit", "1", "--methods", "center"), DataError, "0 to report|0 images of the tune part"),
        (("--json", "no/folder.json"), UserError, "there is no folder no"),
    ],
)
def test_mistakes_are_one_clear_line(run, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
