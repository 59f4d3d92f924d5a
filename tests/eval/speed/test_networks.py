"""The cost of methods on networks: rows, ratios, and the errors of `evaluate speed`."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

from gazeback.eval.speed import networks as speed_networks
from gazeback.eval.speed.networks import compiled, evaluate, memory, tasks_for
from gazeback.grounding.commands.main import gazeback


def tiny(weights=None):
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


@pytest.fixture
def applications(monkeypatch):
    monkeypatch.setattr(keras.applications, "Tiny", tiny, raising=False)


def test_every_method_runs_on_the_same_images():
    model = tiny()
    pixels = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    tasks = tasks_for(model, pixels, ["evidence", "fixations", "saliency"])
    assert list(tasks) == ["forward", "evidence", "fixations", "saliency"]
    np.testing.assert_allclose(tasks["forward"](), model(pixels), rtol=1e-4)
    assert [len(tasks[name]()) for name in ("evidence", "fixations", "saliency")] == [2, 2, 2]


def test_ratios_are_paired(applications):
    (row,) = evaluate(["Tiny"], [2], ["evidence"], rounds=3)
    expected = np.divide(row["seconds"]["evidence"], row["seconds"]["forward"])
    assert row["ratios"]["evidence"]["median"] == pytest.approx(np.median(expected))
    assert row["ratios"]["evidence"]["n"] == 3
    assert (row["network"], row["batch"]) == ("Tiny", 2)


def test_a_method_that_is_not_meant_for_a_network_is_left_out(monkeypatch):
    def without_rectifier(weights=None):
        image = keras.Input((16, 16, 3))
        x = layers.Conv2D(4, 3, activation="silu")(image)
        return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

    monkeypatch.setattr(keras.applications, "Tiny", without_rectifier, raising=False)
    (row,) = evaluate(["Tiny"], [1], ["evidence", "guided-backprop"], rounds=1)
    assert list(row["ratios"]) == ["evidence"]
    assert "there is no ReLU" in row["refused"]["guided-backprop"]


def test_the_forward_pass_is_compiled_once():
    calls = []

    class Counting(layers.Layer):
        def call(self, x):
            calls.append(1)
            return x * 2

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, Counting()(image))
    forward = compiled(model)
    before = len(calls)
    for _ in range(3):
        forward(np.ones((1, 8, 8, 3), "float32"))
    assert len(calls) == before + 1


def test_memory_is_a_ratio_of_peaks(monkeypatch):
    peaks = {"activations": 200.0, "evidence": 150.0}
    monkeypatch.setattr(speed_networks, "_peak_of", lambda name, batch, what: peaks[what])
    (row,) = memory(["Tiny"], 1, ["evidence"])
    assert row["ratios"] == {"evidence": 0.75}


@pytest.mark.slow
def test_peaks_of_a_real_network():
    (row,) = memory(["MobileNetV2"], 1, ["evidence"])
    assert row["mebibytes"]["activations"] > 20
    assert 0 < row["ratios"]["evidence"] < 2


def test_the_command(applications, tmp_path):
    path = tmp_path / "speed.json"
    arguments = ["evaluate", "speed", "--networks", "Tiny", "--batch", "1", "--rounds", "2", "--methods"]
    result = CliRunner().invoke(gazeback, [*arguments, "evidence,saliency", "--json", str(path)])
    assert result.exit_code == 0, result.output
    assert "Tiny" in result.output
    assert "saliency" in result.output
    found = json.loads(path.read_text())
    assert found["task"] == "speed"
    assert set(found["networks"][0]["ratios"]) == {"evidence", "saliency"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "Tinny"], "unknown network 'Tinny'; expected names of keras.applications"),
        (["--batch", "0"], "--batch: expected whole numbers above 0 between commas, got '0'"),
        (["--batch", "two"], "--batch: expected whole numbers above 0 between commas, got 'two'"),
        (["--methods", "best"], "methods: expected one or more of evidence"),
    ],
)
def test_bad_options(arguments, message):
    result = CliRunner().invoke(gazeback, ["evaluate", "speed", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
