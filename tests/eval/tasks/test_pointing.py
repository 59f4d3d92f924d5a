"""The pointing game: by hand, against its literal twin, and on photos whose answer is obvious."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from twins import object_metrics as twins

from gazeback.eval.command import evaluate
from gazeback.eval.data.image import Object, ObjectImage
from gazeback.eval.subjects import classifier as asked_classifier
from gazeback.eval.subjects.classifier import category_classes
from gazeback.eval.tasks.pointing import (
    TOLERANCE,
    Answer,
    PointingTask,
    accuracies,
    distances,
    hit,
    is_difficult,
    maxima,
)
from gazeback.models.classifiers import Classifier
from gazeback.models.errors import DataError


@pytest.fixture
def task(squares_folder, colours, monkeypatch):
    monkeypatch.setattr(asked_classifier, "load_named", lambda model, weights: colours)

    def task(data=squares_folder, methods="evidence", **more):
        return PointingTask(data, "colours", None, more.pop("part", "all"), None, methods, **more)

    return task


@pytest.fixture
def coco_folder(tmp_path):
    """Two photos, 96 x 64: a green square at the left of both, and a blue one in the second's corner."""
    folder = tmp_path / "coco"
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for number in (1, 2):
        pixels = np.zeros((64, 96, 3), np.uint8)
        pixels[8:40, 6:30, 1] = 255
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [6, 8, 24, 32], "iscrowd": 0}
        )
        if number == 2:
            pixels[40:64, 72:96, 2] = 255
            corner = [72, 40, 96, 40, 96, 64, 72, 64]
            annotations.append(
                {
                    "id": 3,
                    "image_id": 2,
                    "category_id": 2,
                    "bbox": [72, 40, 24, 24],
                    "segmentation": [corner],
                }
            )
        Image.fromarray(pixels).save(folder / "val2017" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 64})
    categories = [{"id": 1, "name": "Green"}, {"id": 2, "name": "blue"}, {"id": 3, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


def measured(task):
    names = task.names()
    of_image = task.measure(task.subject(), names, task.methods)
    return {method: {name: of_image[name][method] for name in of_image} for method in task.methods}


def test_the_tolerance_is_counted_from_the_object_and_belongs_to_the_hits():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:20] = True
    far = distances(mask)
    assert hit(np.array([[15, 15 + 4 + 15]]), far) == 1
    assert hit(np.array([[15, 15 + 4 + 16]]), far) == 0
    assert hit(np.array([[19 + 11, 19 + 11]]), far) == 0  # sqrt(2) * 11 > 15
    assert hit(np.array([[19 + 10, 19 + 10]]), far) == 1
    assert hit(np.array([[15, 35]]), far, tolerance=16) == 1
    assert TOLERANCE == 15


def test_several_maxima_count_with_their_share_and_none_is_no_hit():
    far = distances(np.eye(30, dtype=bool)[:, :1].repeat(30, axis=1))  # the first row
    assert hit(np.array([[0, 0], [29, 3]]), far) == 0.5
    assert hit(maxima(np.zeros((30, 30))), far) == 0
    assert maxima(np.array([[1.0, 3], [3, 0]])).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("seed", range(4))
def test_hits_are_those_of_the_literal_twin(seed):
    rng = np.random.default_rng(seed)
    heat, mask = rng.integers(0, 6, (17, 23)).astype(float), rng.random((17, 23)) < 0.02
    mask[rng.integers(17), rng.integers(23)] = True
    for tolerance in (0, 1, 2.5, 6):
        found = hit(maxima(heat), distances(mask), tolerance)
        assert found == pytest.approx(twins.points_hit(heat.tolist(), mask.tolist(), tolerance))


def test_scaling_the_map_and_flipping_everything_change_nothing():
    rng = np.random.default_rng(0)
    for _ in range(5):
        heat, mask = rng.random((20, 30)), np.zeros((20, 30), bool)
        mask[3:5, 2:9] = True
        found = hit(maxima(heat), distances(mask), 6)
        assert hit(maxima(heat * 7), distances(mask), 6) == found
        assert hit(maxima(heat[:, ::-1]), distances(mask[:, ::-1]), 6) == found


@pytest.mark.parametrize(
    ("categories", "side", "single", "difficult"),
    [
        (("cup", "dog"), 9, False, True),
        (("cup", "dog"), 10, False, False),  # a quarter of the image is not less than a quarter
        (("cup",), 9, False, False),  # nothing distracts
        (("cup",), 9, True, True),
    ],
)
def test_difficult_ones_are_small_and_not_alone(categories, side, single, difficult):
    objects = tuple(Object(category, (0, 0, side, side)) for category in categories)
    image = ObjectImage("a.png", None, (20, 20), objects)
    assert is_difficult(image, "cup", image.mask("cup"), single) == difficult


def test_accuracy_by_category():
    asked = {"1": [Answer("cup", 1, 0, True), Answer("dog", 0, 0, True)], "2": [Answer("cup", 0.5, 0, False)]}
    assert accuracies(asked) == {"cup": 0.75, "dog": 0}


def test_squares_are_hit_and_colours_that_are_not_there_point_nowhere(task):
    of = measured(task())
    for record in of["evidence"].values():
        (question,) = record["questions"]
        assert question["hit"] == 1
        assert question["wrong_hit"] == 0
    for record in of["center"].values():
        assert record["questions"][0]["hit"] == record["questions"][0]["wrong_hit"]


def test_categories_that_are_classes_are_asked_for(task, coco_folder):
    of = measured(task(coco_folder, "evidence,center"))
    assert [q["category"] for q in of["evidence"]["1.png"]["questions"]] == ["Green"]
    assert [q["category"] for q in of["evidence"]["2.png"]["questions"]] == ["Green", "blue"]
    for record in of["evidence"].values():
        assert all(question["hit"] == 1 for question in record["questions"])
    # both are small, but only the second photo shows something else too
    assert [q["difficult"] for q in of["evidence"]["1.png"]["questions"]] == [False]
    assert [q["difficult"] for q in of["evidence"]["2.png"]["questions"]] == [True, True]
    # the middle is 18 pixels from the green square, and more from the blue one
    assert all(q["hit"] == 0 for record in of["center"].values() for q in record["questions"])


def test_a_photo_of_another_size_than_annotated(task, coco_folder):
    path = coco_folder / "val2017" / "2.png"
    Image.open(path).resize((48, 32), Image.Resampling.NEAREST).save(path)
    of = measured(task(coco_folder))
    assert [question["hit"] for question in of["evidence"]["2.png"]["questions"]] == [1, 1]


def test_images_without_a_question_are_left_out(task, coco_folder):
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 3  # no colour
    content["annotations"][1]["bbox"] = [6.6, 8, 0.3, 32]  # too thin to cover the centre of a pixel
    path.write_text(json.dumps(content))
    of = measured(task(coco_folder))
    assert list(of["evidence"]) == ["2.png"]
    assert [question["category"] for question in of["evidence"]["2.png"]["questions"]] == ["blue"]


def test_tables_show_means_over_categories_and_questions(task):
    records = {
        "evidence": {
            "1": {"questions": [{"category": "a", "hit": 1.0, "wrong_hit": 0.0, "difficult": True}]},
            "2": {
                "questions": [
                    {"category": "a", "hit": 0.0, "wrong_hit": 0.0, "difficult": False},
                    {"category": "b", "hit": 1.0, "wrong_hit": 1.0, "difficult": True},
                ]
            },
        }
    }
    (table,) = task().tables(records)
    means = dict(zip(table.columns, (cell.mean for cell in table.rows[0][1]), strict=True))
    assert means == pytest.approx(
        {
            "all: over categories": 0.75,
            "all: over questions": 2 / 3,
            "difficult: over categories": 1,
            "difficult: over questions": 1,
            "wrong class": 1 / 3,
            "difference": 1 / 3,
        }
    )
    assert "3 questions to 2 images, 2 of them difficult" in table.notes[0]
    assert task().details(records)["accuracy by category"] == {"evidence": {"a": 0.5, "b": 1.0}}
    assert task().score(records["evidence"]["2"]) == 0.5


def test_what_is_shown(task, coco_folder):
    shown = task(coco_folder).example(task(coco_folder).subject(), "2.png", ["evidence", "center"])
    assert shown.title == "where is the Green?"
    assert shown.values == {"evidence": "hit", "center": "miss"}
    assert shown.maps["evidence"].shape == (64, 96)
    assert shown.boxes == [[6, 8, 24, 32]]


def test_category_names_and_synonyms(colours):
    names = ("laptop, laptop computer", "kite", "Cup")
    classifier = Classifier(colours.model, names, colours.preprocess, "three")
    assert category_classes(["laptop computer", "kite", "cup", "dog"], classifier) == {
        "laptop computer": 0,
        "kite": 1,
        "cup": 2,
    }
    with pytest.raises(DataError, match="none of the 1 categories is a class of three"):
        category_classes(["dog"], classifier)


def test_a_kite_is_a_bird_in_imagenet(colours, monkeypatch):
    monkeypatch.setitem(asked_classifier.OTHER_MEANING, "red", 3)
    assert category_classes(["red", "blue"], colours) == {"blue": 2}


def test_classes_must_fit(task, squares_folder):
    names = squares_folder / "class_names.json"
    names.write_text(json.dumps(["red", "green", "blue", "grey"]))
    with pytest.raises(
        DataError, match="names 4 classes, colours has 3: name a classifier of the same classes"
    ):
        task().subject()


def test_the_command(task, coco_folder, tmp_path):
    task()  # replaces the classifier
    path = tmp_path / "pointing.json"
    arguments = ["pointing", "--data", coco_folder, "--methods", "evidence", "--json", path]
    result = CliRunner().invoke(evaluate, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    assert "3 questions to 2 images" in result.output
    written = json.loads(path.read_text())
    assert written["accuracy by category"]["evidence"] == {"Green": 1, "blue": 1}
    assert path.with_suffix(".html").exists()
