"""One sigmoid unit is two classes, each with a logit of its own; any other unit is a regression."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.cnn_trace import trace
from gazeback.grounding.commands.main import gazeback
from gazeback.models.classifiers import Classifier
from gazeback.models.classifiers.preprocessing import Preprocessing

SIZE = 16


def dense(x):
    return keras.layers.Dense(1, activation="sigmoid", name="answer")(x)


def without_bias(x):
    return keras.layers.Dense(1, activation="sigmoid", use_bias=False, name="answer")(x)


def layer(x):
    return keras.layers.Activation("sigmoid", name="answer")(keras.layers.Dense(1)(x))


def operator(x):
    return keras.ops.sigmoid(keras.layers.Dense(1)(x))


def nested(x):
    inside = keras.Input(x.shape[1:])
    return keras.Model(inside, dense(inside))(x)


def model(answer):
    """The unit is likely where the photo is red, and unlikely where it is green."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIZE, SIZE, 3))
    means = keras.layers.Conv2D(2, 4, strides=4, activation="relu", name="means")(image)
    made = keras.Model(image, answer(keras.layers.GlobalAveragePooling2D()(means)))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[..., 0, 0] = kernel[..., 1, 1] = 1 / 16
    weights = made.get_weights()
    weights[:3] = [kernel, np.zeros(2), np.array([[0.05], [-0.05]])]
    made.set_weights(weights)
    return made


def photo():
    """Red on the left, and twice as much green on the right."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, :4, 0] = 200
    pixels[:, 8:, 1] = 200
    return pixels


@pytest.mark.parametrize("answer", [dense, without_bias, layer, operator, nested])
def test_a_sigmoid_unit_is_two_classes(answer):
    unit = model(answer)
    classifier = Classifier(unit, (), Preprocessing(SIZE, SIZE), "net")
    assert classifier.class_names == ("class 0", "class 1")
    pixels = photo()[None].astype(np.float32)
    p = float(np.asarray(unit(pixels))[0, 0])
    assert classifier.probabilities(pixels)[0] == pytest.approx([1 - p, p], abs=1e-6)
    assert p < 0.4
    negative, positive = trace(classifier.model, pixels, [0, 1])[0]
    assert (negative.points[:, 1] >= 8).all()  # on the green, which speaks against the unit
    assert (positive.points[:, 1] < 4).all()


@pytest.mark.parametrize(
    ("names", "told"),
    [((), ("class 0", "class 1")), (("dog",), ("not dog", "dog")), (("a", "b"), ("a", "b"))],
)
def test_names_of_two_classes(names, told):
    assert Classifier(model(dense), names, Preprocessing(SIZE, SIZE), "net").class_names == told


@pytest.mark.parametrize("activation", [None, "relu"])
def test_another_unit_is_a_regression(activation):
    unit = model(lambda x: keras.layers.Dense(1, activation=activation)(x))
    classifier = Classifier(unit, (), Preprocessing(SIZE, SIZE), "net")
    assert classifier.is_regression
    assert classifier.class_names == ("output",)
    pixels = photo()[None].astype(np.float32)
    assert classifier.probabilities(pixels) == pytest.approx(np.asarray(unit(pixels)))


def run(tmp_path, monkeypatch, answer, *arguments):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    model(answer).save("net.keras")
    return CliRunner().invoke(gazeback, [*arguments, "--model", "net.keras"], catch_exceptions=False)


def test_the_command_names_both_classes(tmp_path, monkeypatch):
    result = run(tmp_path, monkeypatch, dense, "trace", "photo.png", "--json", "--target", "1")
    found = json.loads(result.stdout)
    assert [one["class"] for one in found["predictions"]] == ["class 0", "class 1"]
    assert sum(one["probability"] for one in found["predictions"]) == pytest.approx(1)


def test_the_command_prints_a_value_without_a_percent_sign(tmp_path, monkeypatch):
    result = run(tmp_path, monkeypatch, lambda x: keras.layers.Dense(1)(x), "trace", "photo.png")
    first, head = result.stdout.splitlines()[:2]
    assert first.startswith("photo.png: output (-")
    assert "%" not in first
    assert "value" in head
    found = json.loads((tmp_path / "gazeback-out" / "photo.json").read_text())
    assert set(found["predictions"][0]) == {"class", "index", "value"}
    assert "likely" not in (tmp_path / "gazeback-out" / "photo.html").read_text()


def test_a_regression_is_not_evaluated(tmp_path, monkeypatch):
    asked = ("evaluate", "sketch", "--data", ".", "--methods", "center")
    (tmp_path / "a").mkdir()
    for kind in "ab":
        (tmp_path / kind).mkdir(exist_ok=True)
        for number in range(15):
            Image.fromarray(photo()).save(tmp_path / kind / f"{number}.png")
    result = run(tmp_path, monkeypatch, lambda x: keras.layers.Dense(1)(x), *asked)
    assert result.exit_code == 2
    assert "a regression, whose one output is a value" in result.stderr
