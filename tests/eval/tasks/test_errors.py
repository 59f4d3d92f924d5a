"""The mistakes of a classifier: what is kept of them, their tables, and the gallery."""

import json
import pickle
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.eval.command import evaluate
from gazeback.eval.subjects import classifier as asked_classifier
from gazeback.eval.tasks import errors as errors_page
from gazeback.eval.tasks.errors import ErrorsTask, Mistake, compared, most_confident
from gazeback.models.classifiers import Classifier
from gazeback.models.errors import DataError, UserError


@pytest.fixture
def mixed(squares_folder):
    """Squares of which 0.png says that it is green; it has a small green square, too, and a box around it."""
    path = squares_folder / "annotations.json"
    content = json.loads(path.read_text())
    first = content["images"][0]
    first |= {"label": 1, "boxes": [[0, 0, 16, 16]]}
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:16, :16, 1] = pixels[24:, 24:, 0] = 200
    Image.fromarray(pixels).save(squares_folder / "images" / "0.png")
    path.write_text(json.dumps(content))
    return squares_folder


@pytest.fixture
def task(mixed, colours, monkeypatch):
    monkeypatch.setattr(asked_classifier, "load_named", lambda model, weights: colours)

    def task(data=mixed, methods="evidence", limit=None):
        return ErrorsTask(data, "colours", None, "all", limit, methods)

    return task


def measured(task):
    of_image = task.measure(task.subject(), task.names(), task.methods)
    return {method: {name: of_image[name][method] for name in of_image} for method in task.methods}


def mistake(probability, **more):
    values = {"correlation": 0.5, "predicted_energy": 0.25, "true_energy": 0.75} | more
    return Mistake(0, 1, probability, 0.1, **values)


def test_maps_are_compared():
    predicted, true = np.array([[1.0, 0], [1, 0]]), np.array([[0.0, 2], [2, 0]])
    mask = np.array([[True, False], [False, False]])
    found = compared(predicted, true, mask)
    assert found["correlation"] == pytest.approx(0)
    assert (found["predicted_energy"], found["true_energy"]) == (0.5, 0)
    assert compared(predicted * 3, true * 5, mask) == pytest.approx(found)
    assert compared(predicted[:, ::-1], true[:, ::-1], mask[:, ::-1]) == pytest.approx(found)
    assert compared(predicted, predicted, None) == {
        "correlation": pytest.approx(1),
        "predicted_energy": None,
        "true_energy": None,
    }
    assert compared(np.ones((2, 2)), true, None)["correlation"] is None


def test_the_most_confident_mistake_comes_first():
    records = {
        "a": mistake(0.4).as_record(),
        "b": {"right": True},
        "c": mistake(0.9).as_record(),
        "d": mistake(0.4).as_record(),
    }
    found = most_confident(records)
    assert list(found) == ["c", "a", "d"]
    assert found["c"] == mistake(0.9)
    assert found["c"].difference == 0.5
    assert mistake(0.9, true_energy=None).difference is None


def test_a_mistake_and_the_evidence_for_both_classes(task):
    records = measured(task())
    wrong = {name for name, record in records["evidence"].items() if not record["right"]}
    assert wrong == {"0.png"}
    found = Mistake.of(records["evidence"]["0.png"])
    assert (found.predicted, found.true) == (0, 1)
    assert found.predicted_probability > found.true_probability
    # the box is that of the green square: the evidence for red is elsewhere
    assert found.predicted_energy < 0.1
    assert found.true_energy > 0.5
    assert found.correlation < 0
    assert task().score(records["evidence"]["0.png"]) == 1 - found.correlation
    assert task().score(records["evidence"]["1.png"]) is None
    (table,) = task().tables(records)
    assert table.rows[0][1][0].mean == pytest.approx(found.correlation)
    assert table.rows[0][1][3].mean == pytest.approx(found.difference)
    assert table.notes[0].startswith("1 of 12 images are predicted wrong")


def test_a_task_can_be_sent_to_a_worker(task):
    made = task()
    made.names()
    again = pickle.loads(pickle.dumps(made))
    assert again.cache_key() == made.cache_key()
    assert again.names() == made.names()


def test_nothing_wrong(task):
    records = {"evidence": {"1.png": {"right": True}}}
    (table,) = task().tables(records)
    assert table.texts == [["evidence", "-", "-", "-", "-"]]
    page = errors_page.gallery_html(task(), records)
    assert "0 of 1 images are predicted wrong." in page
    assert "<article" not in page


def test_class_folders(task, tmp_path):
    folder = tmp_path / "folders"
    for name, channel in (("Green/1.png", 1), ("Green/2.png", 0), ("blue/1.png", 2)):
        pixels = np.zeros((40, 40, 3), np.uint8)
        pixels[10:30, 10:30, channel] = 220
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    records = measured(task(folder))
    found = most_confident(records["evidence"])
    assert list(found) == ["Green/2.png"]
    assert (found["Green/2.png"].predicted, found["Green/2.png"].true) == (0, 1)
    assert found["Green/2.png"].true_energy is None
    (folder / "dog").mkdir()
    Image.fromarray(pixels).save(folder / "dog" / "1.png")
    with pytest.raises(DataError, match="its folders are not the classes of colours: no class 'dog'"):
        task(folder).subject()


def test_the_gallery_is_one_safe_page(task, tmp_path, colours, monkeypatch):
    names = ("<b>red</b>, ruby", "green & mean", "blue")
    odd = Classifier(colours.model, names, colours.preprocess, "odd")
    monkeypatch.setattr(asked_classifier, "load_named", lambda model, weights: odd)
    records = measured(task(methods="evidence,grad-cam"))
    (path,) = task(methods="evidence,grad-cam").write_pages(records, tmp_path / "out")
    assert path.name == "out-gallery.html"
    page = path.read_text()
    assert "&lt;b&gt;red&lt;/b&gt;" in page
    assert "<b>red" not in page
    assert "green &amp; mean" in page
    assert page.count('class="pair"') == 3  # evidence, grad-cam and activation: the centre's maps are alike
    assert page.count("data:image/jpeg;base64,") == 1 + 2 * 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_only_the_most_confident_are_shown(task, tmp_path, monkeypatch):
    monkeypatch.setattr(errors_page, "SHOWN", 1)
    records = measured(task(methods="center"))
    mistaken = records["center"]["0.png"]
    records = {
        method: of | {"1.png": mistaken | {"predicted_probability": 1.5}} for method, of in records.items()
    }
    page = errors_page.gallery_html(task(), records)
    assert "2 of 12 images are predicted wrong, the 1 most confident are shown." in page
    assert page.count("<article") == 1
    assert ">1.png<" in page


def test_a_gallery_that_cannot_be_written(task, tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*gallery.html: No such file or directory"):
        errors_page.write_gallery(
            task(), {"center": {"1.png": {"right": True}}}, tmp_path / "no" / "gallery.html"
        )


@pytest.mark.browser
def test_methods_are_shown_and_hidden(task, tmp_path, open_file):
    records = measured(task(methods="evidence,grad-cam"))
    (path,) = task(methods="evidence,grad-cam").write_pages(records, tmp_path / "out")
    page = open_file(path)
    assert page.locator(".mistake h2 .wrong").all_inner_texts() == ["red"]
    assert page.locator(".mistake h2 .true").all_inner_texts() == ["green"]
    assert page.locator(".pair:visible h3").count() == 3
    page.get_by_label("grad-cam").uncheck()
    shown = page.locator(".pair:visible").evaluate_all("pairs => pairs.map((pair) => pair.dataset.method)")
    assert shown == ["evidence", "activation"]
    left, right = (figure.bounding_box() for figure in page.locator(".pair:visible figure").all()[:2])
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_command(task, mixed, tmp_path):
    task()  # replaces the classifier
    path = tmp_path / "errors.json"
    arguments = ["errors", "--data", mixed, "--methods", "evidence", "--json", path]
    result = CliRunner().invoke(evaluate, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 of 12 images are predicted wrong" in result.output
    assert (tmp_path / "errors-gallery.html").exists()
