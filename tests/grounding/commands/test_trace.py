"""`gazeback trace`: what it writes and prints, and how it tells bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import gazeback.models
from gazeback.grounding import methods
from gazeback.models.classifiers import keras_files


@pytest.fixture
def colours(monkeypatch, colour_classifier):
    """The classifier of colours under any name; returns what the loader was asked for."""
    asked = []

    def load_classifier(name, weights="imagenet", *, preprocessing=None):
        asked.append((name, weights, preprocessing))
        return colour_classifier

    monkeypatch.setattr(gazeback.models, "load_classifier", load_classifier, raising=False)
    return asked


@pytest.fixture
def two_patches(tmp_path, patches) -> Path:
    path = tmp_path / "two.png"
    Image.fromarray(patches).save(path)
    return path


def written(folder: str = "gazeback-out") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_one_photo_is_written_and_told(run, colours, two_patches) -> None:
    result = run("trace", two_patches, "--top", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert written() == ["two.html", "two.json", "two.png"]
    lines = result.stdout.splitlines()
    assert lines[0].startswith("two.png: red, crimson (")
    assert lines[1].split() == ["class", "probability", "evidence"]
    assert lines[2].startswith("red, crimson")
    assert "points, box" in lines[2]
    assert lines[3].startswith("blue")
    assert lines[-3] == f"Page: {Path('gazeback-out', 'two.html')}"
    assert lines[-1].startswith("Next, try your own photo (gazeback trace PHOTO.jpg)")
    assert colours == [("efficientnet-lite0", "imagenet", None)]


def test_options_reach_the_loader(run, colours, two_patches) -> None:
    assert run("trace", two_patches, "--model", "vgg16", "--weights", "random").exit_code == 0
    options = ("--model", "mine.keras", "--preprocessing", "tf")
    assert run("trace", two_patches, *options).exit_code == 0
    assert run("trace", two_patches, "--model", "alexnet", "--weights", "alex.npz").exit_code == 0
    assert colours == [
        ("vgg16", None, None),
        ("mine.keras", "imagenet", "tf"),
        ("alexnet", "alex.npz", None),
    ]


def test_json_has_targets_and_methods_in_photo_pixels(run, colours, two_patches) -> None:
    result = run(
        "trace", two_patches, "--target", "blue", "--methods", "evidence, fixations", "--top", 1, "--json"
    )
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found == json.loads(Path("gazeback-out/two.json").read_text())
    assert (found["photo"], found["width"], found["height"], found["model"]) == ("two.png", 96, 48, "colours")
    assert [one["class"] for one in found["predictions"]] == ["red, crimson"]
    assert [(one["class"], one["index"]) for one in found["targets"]] == [("blue", 2), ("red, crimson", 0)]
    for target, (left, top, right, bottom) in zip(
        found["targets"], ((72, 32, 88, 44), (8, 4, 40, 20)), strict=True
    ):
        assert list(target["methods"]) == ["evidence", "fixations"]
        for method in target["methods"].values():
            points = np.array(method["points"])
            assert (points[:, :2] >= (top, left)).all()
            assert (points[:, :2] < (bottom, right)).all()
            assert len(method["box"]) == 4


def test_method_is_another_name_for_methods(run, colours, two_patches) -> None:
    found = json.loads(run("trace", two_patches, "--method", "fixations", "--json").stdout)
    assert list(found["targets"][0]["methods"]) == ["fixations"]


def test_registered_methods_are_compared_with_the_cores(run, colours, two_patches, monkeypatch) -> None:
    entry = SimpleNamespace(name="brightness", load=lambda: lambda model, images, target: images[..., target])
    monkeypatch.setattr(methods, "entry_points", lambda group: [entry])
    result = run("trace", two_patches, "--methods", "brightness,evidence", "--json")
    first, second = json.loads(result.stdout)["targets"][0]["methods"].values()
    assert (first["points"], bool(first["map"])) == ([], True)
    assert second["points"]
    assert written() == ["two.html", "two.json", "two.png"]


def test_starts_from_neurons_of_a_layer(run, colours, two_patches) -> None:
    result = run(
        "trace",
        two_patches,
        "--layer",
        "pool",
        "--target",
        2,
        "--target",
        "3,4,0",
        "--at",
        "colours",
        "--json",
    )
    assert result.stderr == ""
    first, second = json.loads(result.stdout)["targets"]
    assert (first["layer"], first["neuron"][2]) == ("pool", 2)
    assert (second["neuron"], "class" in second) == ([3, 4, 0], False)
    assert written() == ["two-layers.png", "two.html", "two.json", "two.png"]
    table = run("trace", two_patches, "--layer", "pool").stdout.splitlines()
    assert table[1].split() == ["neuron", "activation", "evidence"]


def test_several_photos_get_an_index_that_no_page_overwrites(run, colours, two_patches) -> None:
    other = two_patches.with_name("index.png")
    Image.open(two_patches).save(other)
    result = run("trace", two_patches, other)
    assert result.exit_code == 0
    assert written() == [
        "index-2.html", "index-2.json", "index-2.png", "index.html", "two.html", "two.json", "two.png",
    ]  # fmt: skip
    assert result.stdout.splitlines()[-3] == f"Index: {Path('gazeback-out', 'index.html')}"
    assert 'href="index-2.html"' in Path("gazeback-out/index.html").read_text()


def test_a_bad_photo_is_named_and_the_others_are_written(run, colours, two_patches) -> None:
    Path("text.jpg").write_text("no picture")
    result = run("trace", "missing.jpg", two_patches, "text.jpg")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: missing.jpg: no such file",
        "Error: text.jpg: not a picture that can be read (JPEG, PNG, GIF, TIFF, WebP, ...)",
    ]
    assert written() == ["two.html", "two.json", "two.png"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--top", "0"], "--top: expected 1 class or more, got 0"),
        (["--top", "x"],
         "Invalid value for '--top': 'x' is not a valid integer. See `gazeback trace --help`."),
        (["--methods", "evidence,magic"], "methods: expected one or more of evidence, *, got 'magic'"),
        (["--methods", ","], "methods: expected one or more of *, got none"),
        (["--methods", "evidence,evidence"], "methods: each is shown once; evidence was given twice"),
        (["--target", "purple"], "no class 'purple' among 3, 0 to 2; for example 'red, crimson'"),
        (["--layer", "poll"], "model 'colours' has no layer 'poll'; close names: pool*"),
        (["--layer", "pool", "--target", "red"],
         "a neuron is a channel (17) or row,column,channel (3,4,17), got 'red'"),
        (["--layer", "pool", "--target", "99"], "target 99 is out of range: 'pool*' has 3 channels"),
        (["--layer", "pool", "--target", "12,0,0"],
         "target (12, 0, 0) is out of range: 'pool*' has the shape [12, 12, 3]"),
        (["--at", "mean"], "layer 'mean' has no places: its output * is no map"),
        (["--out", "two.png"], "two.png: cannot be the output folder, as two.png is a file"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line_and_write_nothing(run, colours, two_patches, options, line) -> None:
    result = run("trace", two_patches, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    start, _, end = f"Error: {line}\n".partition("*")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(start)
    assert result.stderr.endswith(end)
    assert not Path("gazeback-out").exists()


def test_an_unknown_model_is_told_with_close_names(run, two_patches) -> None:
    result = run("trace", two_patches, "--model", "vgg61")
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: unknown classifier 'vgg61'; did you mean ")
    assert "vgg16" in line
    result = run("trace", two_patches, "--model", "no.keras")
    assert result.stderr == "Error: no.keras: no such file; expected a .keras file with a classifier\n"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras under NumPy 2.4
def test_a_keras_file_with_odd_names(run, two_patches, colour_classifier) -> None:
    names = ("<script>alert(1)</script>", "[bold]green[/bold]", "blue")
    odd = type(colour_classifier)(colour_classifier.model, names, colour_classifier.preprocess, "odd")
    keras_files.save(odd, "odd.keras")
    result = run("trace", two_patches, "--model", "odd.keras", "--target", "[bold]green[/bold]")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "[bold]green[/bold]" in result.stdout
    page = Path("gazeback-out/two.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_bundled_classifier_of_sketches_explains_a_drawing(run, tmp_path) -> None:
    drawing = Image.new("L", (300, 200), 255)
    ImageDraw.Draw(drawing).ellipse((60, 40, 160, 140), outline=0, width=3)
    drawing.save("sun.png")
    result = run("trace", "sun.png", "--model", "sketch", "--target", "sun", "--top", 3, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["targets"][0]["class"] == "sun"
    assert len(found["predictions"]) == 3
    points = np.array(found["targets"][1]["methods"]["evidence"]["points"])
    assert (points[:, :2] >= 0).all()
    assert (points[:, :2] < (200, 300)).all()
    assert 'class="drawing"' in Path("gazeback-out/sun.html").read_text()


@pytest.mark.slow
def test_one_command_explains_the_bundled_photo_and_is_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gazeback.grounding.commands.main", "trace", "--json", "--top", "1"],
        capture_output=True, text=True, cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHONW"))},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert (result["photo"], result["model"]) == ("astronaut.png", "efficientnet-lite0")
    assert result["targets"][0]["methods"]["evidence"]["points"]
    written = sorted(path.name for path in (tmp_path / "gazeback-out").iterdir())
    assert written == ["astronaut.html", "astronaut.json", "astronaut.png"]
