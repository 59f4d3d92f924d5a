"""One box an image: recall and precision by hand and against their literal twin, and squares on black."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from twins import object_metrics as twins

from gazeback.eval.command import evaluate
from gazeback.eval.metrics.maps import boxes_mask
from gazeback.eval.subjects import classifier as asked_classifier
from gazeback.eval.tasks import proposals
from gazeback.eval.tasks.proposals import (
    Found,
    ProposalsTask,
    found,
    on_annotated,
    precisions,
    recalls,
)
from gazeback.models.classifiers import Preprocessing
from gazeback.models.errors import DataError
from gazeback.models.photos import Photo


@pytest.fixture
def task(squares_folder, colours, monkeypatch):
    monkeypatch.setattr(asked_classifier, "load_named", lambda model, weights: colours)

    def task(methods="evidence,center", part="all"):
        return ProposalsTask(squares_folder, "colours", None, part, None, methods)

    return task


def measured(task):
    of_image = task.measure(task.subject(), task.names(), task.methods)
    return {method: {name: of_image[name][method] for name in of_image} for method in task.methods}


def test_what_a_box_finds():
    objects = np.array([[0.0, 0, 10, 10], [0, 0, 10, 6], [50, 50, 10, 10]])
    of = found([(0, 0, 10, 10), (0, 0, 10, 3), (0, 0, 0, 0)], objects, ["cup", "dog", "cup"])
    assert of.categories == ["cup", "dog", "cup"]
    assert of.hits == [[0, 1], [1], []]
    assert of.best == [1, pytest.approx(0.5), 0]


def test_recall_counts_objects_and_precision_images():
    images = [
        Found(["cup", "cup", "dog"], [[0, 2]], [0.9]),
        Found(["cup"], [[]], [0.2]),
        Found(["dog", "cat"], [[0]], [0.6]),
    ]
    assert recalls(images, 0) == {"cat": 0, "cup": 1 / 3, "dog": 1}
    assert precisions(images, 0) == {"cat": 0, "cup": 1 / 2, "dog": 1}


@pytest.mark.parametrize("seed", range(4))
def test_recall_and_precision_are_those_of_the_literal_twin(seed):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(12):
        true = [(str(rng.choice(["cup", "dog"])), box(rng)) for _ in range(rng.integers(1, 5))]
        near = np.array(true[0][1]) + rng.integers(-2, 3, 4)
        images.append(((*near[:2], *np.maximum(near[2:], 1)), true))
    made = [
        found([shown], np.array([b for _, b in true], float), [name for name, _ in true])
        for shown, true in images
    ]
    for category in ("cup", "dog"):
        expected = twins.recall_and_precision(images, category)
        assert (recalls(made, 0)[category], precisions(made, 0)[category]) == pytest.approx(expected)


def box(rng):
    return (*rng.integers(0, 20, 2).tolist(), *rng.integers(3, 10, 2).tolist())


def test_boxes_on_the_photo():
    prepared = Preprocessing(32, 32)(Photo(np.zeros((60, 120, 3), np.uint8), "photo"))
    assert on_annotated((8, 16, 16, 8), prepared, (60, 120)) == pytest.approx((30, 30, 60, 15))
    assert on_annotated((8, 16, 16, 8), prepared, (120, 240)) == pytest.approx((60, 60, 120, 30))
    assert on_annotated((0, 0, 32, 32), prepared, (60, 120)) == pytest.approx((0, 0, 120, 60))
    assert on_annotated((-5, 30, 10, 10), prepared, (60, 120)) == pytest.approx((0, 56.25, 18.75, 3.75))
    assert on_annotated((0, 0, 0, 0), prepared, (60, 120))[2:] == (0, 0)


def test_boxes_on_a_cropped_photo():
    prepared = Preprocessing(28, 28, placement="crop")(Photo(np.zeros((64, 128, 3), np.uint8), "photo"))
    # the crop shows 56 x 56 pixels of the middle
    assert on_annotated((0, 0, 28, 28), prepared, (64, 128)) == pytest.approx((36, 4, 56, 56))


def test_flipping_image_and_boxes_finds_the_same():
    rng = np.random.default_rng(0)
    for _ in range(10):
        shown, true = np.array(box(rng), float), np.array([box(rng), box(rng)], float)
        flipped = [np.stack([40 - b[..., 0] - b[..., 2], *b.T[1:]], axis=-1) for b in (shown, true)]
        first, second = found([shown], true, "ab"), found([flipped[0]], flipped[1], "ab")
        assert first.hits == second.hits
        assert first.best == pytest.approx(second.best)


def test_squares_are_found(task):
    records = measured(task())
    rows = proposals.proposal_rows(records, "all")
    assert {(row.method, row.rule) for row in rows} == {
        ("evidence", "tight"),
        ("evidence", "region"),
        ("center", "centre"),
        ("activation", "region"),
    }
    assert rows[0].recalls() == rows[0].precisions() == {"blue": 1, "green": 1, "red": 1}
    (table,) = task().tables(records)
    assert table.rows[0][0] == "evidence"
    assert table.rows[0][1][2].mean == 1
    details = task().details(records)["by category"]
    assert details[0]["recall"] == {"blue": 1, "green": 1, "red": 1}
    assert task().score(records["evidence"][task().names()[0]]) > 0.7


def test_parts(task):
    records = measured(task("center"))
    report, tune = (proposals.proposal_rows(records, part)[0] for part in ("all", "tune"))
    assert report.images.keys() | tune.images.keys() == set(task().names())
    assert not report.images.keys() & tune.images.keys()
    assert report.place == tune.place
    with pytest.raises(DataError, match="to report: settings are chosen on one part"):
        proposals.proposal_rows({"center": dict(list(records["center"].items())[:1])}, "all")


def test_crowds_are_no_objects_to_find(task, squares_folder):
    made = task("center")
    name = made.names()[0]
    image = made.read[name]
    made.read._by_name[name] = type(image)(
        name, image.path, image.size, tuple(type(o)(o.category, o.box, None, True) for o in image.objects)
    )
    assert name not in made.measure(made.subject(), [name], ["center"])


def test_what_is_shown(task):
    made = task()
    name = made.names()[0]
    shown = made.example(made.subject(), name, ["evidence"])
    assert shown.title.startswith("predicted: ")
    assert shown.values["evidence"].startswith("region ")
    np.testing.assert_array_equal(boxes_mask(shown.boxes, 64, 64), shown.photo.max(axis=2) > 0)


def test_the_command(task, squares_folder, tmp_path):
    task()  # replaces the classifier
    path = tmp_path / "proposals.json"
    arguments = ["proposals", "--data", squares_folder, "--methods", "evidence", "--json", path]
    result = CliRunner().invoke(evaluate, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    assert "mean recall" in result.output
    assert json.loads(path.read_text())["by category"][0]["method"] == "evidence"
