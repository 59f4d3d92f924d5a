import json

import numpy as np
import pytest

from gazeback.grounding.output.results import to_json, write_json
from gazeback.models.writing import write_atomically


def test_holds_the_fields_of_the_contract(make_grounding):
    result = to_json(make_grounding())
    assert {"photo", "width", "height", "caption", "logprob", "words"} <= result.keys()
    expected = {"text", "logprob", "visual", "language", "visual_share", "preceding", "points", "box"}
    assert all(expected <= word.keys() for word in result["words"])
    assert (result["photo"], result["width"], result["height"]) == ("dog.jpg", 90, 60)
    assert result["caption"] == "a brown dog"


def test_says_which_method_and_model_and_which_words_are_unknown(make_grounding):
    result = to_json(make_grounding(["a", "zebu"], unknown=["zebu"]))
    assert (result["method"], result["model"]) == ("evidence", "a captioner")
    assert [word["known"] for word in result["words"]] == [True, False]
    assert result["words"][1]["runners_up"] == [["cat", 0.12], ["horse", 0.05]]


def test_support_is_there_and_null_where_it_is_unknown(make_grounding):
    grounding = make_grounding()
    grounding.words[2].support = 0.123456789
    assert [word["support"] for word in to_json(grounding)["words"]] == [None, None, 0.123457]


def test_points_are_row_column_weight_in_photo_pixels(make_grounding):
    grounding = make_grounding()
    fixations = grounding.words[2].fixations
    points = np.array(to_json(grounding)["words"][2]["points"])
    np.testing.assert_array_equal(points[:, :2], fixations.points)
    np.testing.assert_allclose(points[:, 2], fixations.weights, rtol=1e-5)


def test_box_is_x_y_width_height_and_none_without_points(make_grounding):
    words = to_json(make_grounding(empty=["dog"]))["words"]
    x, y, width, height = words[1]["box"]
    row, column, _ = max(words[1]["points"], key=lambda point: point[2])
    assert x <= column < x + width
    assert y <= row < y + height
    assert (words[2]["box"], words[2]["points"]) == (None, [])


def test_visual_and_language_add_up_and_preceding_counts_the_words_before(make_grounding):
    for index, word in enumerate(to_json(make_grounding())["words"]):
        assert word["visual"] + word["language"] == pytest.approx(word["logprob"], abs=1e-5)
        assert len(word["preceding"]) == index


def test_numpy_numbers_are_written_as_plain_ones_and_infinite_ones_as_null(make_grounding, tmp_path):
    grounding = make_grounding(["dog"])
    grounding.words[0].logprob = np.float32(-1.5)
    grounding.words[0].visual = np.float64("-inf")
    word = json.loads(write_json(grounding, tmp_path / "dog.json").read_text())["words"][0]
    assert (word["logprob"], word["visual"]) == (-1.5, None)


def test_several_methods_are_told_apart_and_one_is_as_before(make_grounding):
    words = ["a", "dog"]
    alone = to_json(make_grounding(words))
    compared = to_json(make_grounding(words, methods=("evidence", "grad-cam")))
    assert compared["method"] == "evidence"
    for one, other in zip(alone["words"], compared["words"], strict=True):
        assert "methods" not in one
        methods = other.pop("methods")
        assert other == one
        assert list(methods) == ["evidence", "grad-cam"]
        assert methods["evidence"] == {"points": one["points"], "box": one["box"]}
        assert methods["grad-cam"]["points"] == []
        heat = np.array(methods["grad-cam"]["map"])
        x, y, width, height = methods["grad-cam"]["box"]
        row, column = np.divide(np.unravel_index(heat.argmax(), heat.shape), heat.shape) * (60, 90)
        assert x <= column <= x + width
        assert y <= row <= y + height


def test_measures_of_the_words_before_stand_there_only_where_they_were_asked_for(make_grounding):
    assert "preceding_by" not in to_json(make_grounding())["words"][2]
    word = to_json(make_grounding(preceding=True))["words"][2]
    assert word["preceding_by"] == {"removal": [0.5, 0.5], "gradient": [-0.25, -0.25]}


def test_file_equals_the_object_and_odd_names_do_not_stop_it(make_grounding, tmp_path):
    grounding = make_grounding(["häst", "</script>"], name="bad\udcff.jpg")
    path = write_json(grounding, tmp_path / "out.json")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written == to_json(grounding) | {"photo": "bad?.jpg"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "result.json"
    write_atomically(target, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_writing_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"")
