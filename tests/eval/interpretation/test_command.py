"""`gazeback interpret`: what it writes, and what it says of bad input."""

import json
import shutil

import keras
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.eval.interpretation import ablation, lasso
from gazeback.eval.interpretation import pages as pictures
from gazeback.eval.interpretation.command import interpret
from gazeback.eval.interpretation.relevant import load
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.errors import UserError


@pytest.fixture
def run(folder, colours, tmp_path, monkeypatch):
    monkeypatch.setattr("gazeback.eval.interpretation.task.load_named", lambda *_: colours)
    monkeypatch.setattr(ablation, "DRAWS", 2)
    monkeypatch.setattr(lasso, "STEPS", 30)
    monkeypatch.setattr(pictures, "SHOWN", 1)

    def run(*arguments, data=folder):
        command = ["--model", "colours", "--data", data, "--out", tmp_path / "out", *arguments]
        runner = CliRunner(env={"COLUMNS": "200"})
        return runner.invoke(interpret, list(map(str, command)), catch_exceptions=False)

    return run


def test_everything_is_written(run, tmp_path):
    result = run("--limit", 8, "--json", tmp_path / "figures.json")
    assert "Relevant filters, variant all" in result.output
    assert "What is lost without the relevant filters" in result.output
    out = tmp_path / "out"
    assert load(out / "relevant.json").classes == ("blue", "green", "red")
    written = json.loads((out / "ablation.json").read_text())
    assert written == json.loads((tmp_path / "figures.json").read_text())
    assert {row["variant"] for row in written["curve"]} == {"all", "only-conv"}
    assert written["accuracy"]["mean"] == 1
    with Image.open(out / "ablation.png") as picture:
        assert picture.format == "PNG"
    assert sorted(path.name for path in (out / "averages").iterdir()) == ["blue.png", "green.png", "red.png"]
    assert sorted(path.suffix for path in (out / "feedback").iterdir()) == [".html", ".json", ".png"]


def test_standardised_filter_by_filter(run, tmp_path):
    result = run("--limit", 8, "--scale", "filter", "--json", tmp_path / "figures.json")
    assert "mu 1, scale filter" in result.output
    written = json.loads((tmp_path / "figures.json").read_text())
    assert (written["mu"], written["scale"]) == (1, "filter")
    found = load(tmp_path / "out" / "relevant.json")
    assert found.scale == "filter"
    assert all(feature.mean > 0 for name in found.classes for feature in found.of(name))


@pytest.mark.parametrize("mu", [0, -3, "nan"])
def test_mu_must_be_positive(run, mu):
    with pytest.raises(UserError, match=r"--mu .*expected a positive number"):
        run("--mu", mu)


def test_words_are_for_captioners(run):
    with pytest.raises(UserError, match="--words is for captioners"):
        run("--words", "dog")


def test_classes_that_the_model_does_not_have(run, folder):
    (folder / "red").rename(folder / "crimson")
    result = run("--limit", 8)
    assert "left out: class that the model does not have: 1" in result.output
    (folder / "blue").rename(folder / "azure")
    with pytest.raises(UserError, match=r"colours knows 1 of the 3 classes \(azure, ...\)"):
        run()


def test_a_class_of_which_no_photo_can_be_read(run, folder):
    for path in folder.glob("red/*"):
        path.write_text("broken")
    with pytest.raises(UserError, match="class 'red' has no image"):
        run()


def test_a_folder_that_is_none(run, tmp_path):
    with pytest.raises(UserError, match=r"no folder .*missing; expected one folder of pictures per class"):
        run(data=tmp_path / "missing")


def test_an_output_that_cannot_be_written(run, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        run()


def test_a_model_without_maps(run, folder, monkeypatch):
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    dense = Classifier(model, ("red", "green", "blue"), Preprocessing(16, 16), "dense")
    monkeypatch.setattr("gazeback.eval.interpretation.task.load_named", lambda *_: dense)
    with pytest.raises(UserError, match="no layer before its last one whose filters answer with a map"):
        run()


def test_predicted_classes_where_there_are_no_folders(run, folder, tmp_path):
    (tmp_path / "plain").mkdir()
    for path in folder.glob("*/*.png"):
        shutil.copy(path, tmp_path / "plain" / path.name)
    result = run(data=tmp_path / "plain")
    written = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert written["accuracy"]["mean"] == 1
    assert set(written["classes"]) <= {"red", "green", "blue"}
    assert "Relevant filters" in result.output
