"""Evidence on strokes: by hand, literally, and on drawings of lines."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from gazeback.cnn_trace.fixations import Fixations
from gazeback.eval.tasks.sketch import SketchTask, near, of_map, of_points, strokes
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.errors import DataError
from gazeback.models.training.sketch_folder import split_of

SIZE = 32


@pytest.fixture
def drawn():
    mask = np.zeros((12, 15), bool)
    mask[3, 2:9] = True
    return mask


@pytest.fixture(scope="module")
def lines() -> Classifier:
    """Tells drawings with a line across from drawings with a line down by the ink in its rows and columns."""
    image = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Conv2D(2, 5, padding="same", activation="relu")(image)
    x = keras.layers.GlobalMaxPooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    kernel = np.full((5, 5, 1, 2), -0.2)
    kernel[2, :, 0, 0] = kernel[:, 2, 0, 1] = 1
    model.set_weights([kernel, np.zeros(2), np.eye(2), np.zeros(2)])
    return Classifier(
        model, ("across", "down"), Preprocessing(SIZE, SIZE, 1, placement="sketch", margin=4), "lines"
    )


@pytest.fixture
def folder(tmp_path):
    """Drawings of a long line and a short one that crosses it, 20 of each class."""
    rng = np.random.default_rng(0)
    for name in ("across", "down"):
        (tmp_path / name).mkdir()
        for number in range(20):
            paper = np.full((60, 60), 255, np.uint8)
            paper[28:31, 4:56] = 0
            place = int(rng.integers(10, 48))
            paper[20:40, place : place + 3] = 0
            Image.fromarray(paper if name == "across" else paper.T).save(tmp_path / name / f"{number}.png")
    return tmp_path


@pytest.fixture
def task(folder, lines, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_named", lambda model, weights: lines)
    return SketchTask(folder, "lines", None, "all", None, "evidence,fixations")


def test_strokes_have_half_the_ink():
    pixels = np.array([[0.0, 0.4, 0.5, 1.0]])[..., None]
    assert strokes(pixels).tolist() == [[False, False, True, True]]


def test_near_literally():
    mask = np.random.default_rng(0).random((9, 11)) > 0.95
    places = np.argwhere(mask)
    for reach in (0, 1, 2):
        expected = [
            [any(np.hypot(row - r, column - c) <= reach for r, c in places) for column in range(11)]
            for row in range(9)
        ]
        assert near(mask, reach).tolist() == expected
    assert not near(np.zeros((3, 4), bool)).any()


def test_a_map_of_the_strokes_is_on_them_and_an_even_one_knows_nothing(drawn):
    assert of_map(drawn.astype(float), drawn) == {"map": 1, "map coverage": 1}
    assert of_map(np.ones(drawn.shape), drawn)["map"] == pytest.approx(near(drawn).mean())
    assert of_map(np.zeros(drawn.shape), drawn)["map"] == 0


def test_a_map_by_hand(drawn):
    heat = np.zeros(drawn.shape)
    heat[3, 2:5] = 2  # three of seven stroke pixels
    heat[10:, 5:] = 1  # 20 pixels far away
    assert of_map(heat, drawn)["map"] == pytest.approx(6 / 26)
    close = int(near(drawn).sum())
    assert close == 7 * 5 + 2 * 4  # two rows above and below, and the round ends
    # the three pixels come first, then the 20, then what is left of `close` next to the strongest
    assert of_map(heat, drawn)["map coverage"] >= 3 / 7
    assert of_map(1e-9 * heat, drawn) == pytest.approx(of_map(heat, drawn))
    turned = of_map(heat[:, ::-1], drawn[:, ::-1])
    assert turned["map"] == pytest.approx(of_map(heat, drawn)["map"])


def test_points_by_hand(drawn):
    points = np.array([[3, 2], [5, 8], [6, 8], [11, 14]])
    found = of_points(Fixations(points, np.array([1.0, 2, 3, 4]), drawn.shape), drawn)
    assert found["points"] == pytest.approx(3 / 10)
    # (3, 2) reaches columns 2 to 4, (5, 8) column 8
    assert found["point coverage"] == pytest.approx(4 / 7)


def test_no_points_say_nothing(drawn):
    assert of_points(Fixations(np.zeros((0, 2), int), np.zeros(0), drawn.shape), drawn) == {}


def test_only_what_training_holds_out(task, folder):
    files = [f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.png")]
    assert set(task.names()) == {name for name in files if split_of(*name.split("/")) == "held-out"}
    everything = replace(task, every=True)
    assert set(everything.names()) == set(files)
    assert len(task.names()) > 3


def test_lines(task):
    names = list(task.names())
    found = task.measure(task.subject(), names, task.methods)
    assert set(found) == set(names)
    for records in found.values():
        evidence = records["evidence"]
        assert evidence["right"] == 1
        assert evidence["predicted"] == evidence["true"]
        assert evidence["predicted"]["points"] > 0.9
        assert evidence["predicted"]["map"] > evidence["area"]
        assert records["center"]["predicted"]["map"] == pytest.approx(evidence["area"], abs=1e-3)
        assert records["center"]["correlation"] == pytest.approx(1)
        assert evidence["correlation"] < 1
        assert "points" not in records["activation"]["predicted"]
    by_method = {method: {name: found[name][method] for name in names} for method in task.methods}
    assert json.loads(json.dumps(by_method)) == by_method
    predicted, classes = task.tables(by_method)
    assert [label for label, _ in predicted.rows] == ["evidence", "fixations", "center", "activation"]
    assert predicted.rows[0][1][0].n == len(names)
    assert predicted.rows[2][1][0].n == 0  # the centre has no points
    assert classes.rows[2][1][1].mean == 0
    assert task.score(by_method["evidence"][names[0]]) > 0.9
    assert task.score(by_method["center"][names[0]]) == by_method["center"][names[0]]["predicted"]["map"]


def test_it_can_be_shown(task):
    shown = task.example(task.subject(), task.names()[0], task.methods)
    assert shown.photo.shape == (SIZE, SIZE, 3)
    assert shown.title in ("across", "down")
    assert shown.photo[~shown.mask].min() > 127


def test_classes_that_the_classifier_does_not_know_are_left_out(task, folder):
    (folder / "down").rename(folder / "spiral")
    assert {name.split("/")[0] for name in task.measure(task.subject(), list(task.names()), ["center"])} == {
        "across"
    }


def test_a_part_without_sketches(folder):
    task = SketchTask(folder / "nothing", "lines", None, "all", None, "evidence")
    with pytest.raises(DataError, match="no such folder"):
        task.names()
