"""`gazeback trace FILE.npy`: signals and volumes whose right place is known, and bad arrays."""

import json
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from gazeback.grounding.arrays import load_array, trace_array
from gazeback.models.classifiers import load_array_classifier


def sums(model: keras.Model) -> keras.Model:
    """Positive weights: an answer comes from where the input is not zero. Class 1 is ahead."""
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.0 if "bias" in weight.path else 0.3, np.float32))
    model.layers[-1].bias.assign([0, 1])
    return model


def signal_net(length: int | None = 40) -> keras.Model:
    x = signal = keras.Input((length, 2))
    x = layers.Conv1D(4, 1, activation="relu", name="conv")(x)
    return sums(keras.Model(signal, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))


def volume_net() -> keras.Model:
    x = volume = keras.Input((8, 10, 6, 1))
    x = layers.Conv3D(3, 1, activation="relu")(x)
    return sums(keras.Model(volume, layers.Dense(2)(layers.GlobalMaxPooling3D()(x))))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A model of signals and one of volumes, and an array for each: not zero at 12, and at 5, 7, 2."""
    signal, volume = np.zeros((40, 2)), np.zeros((8, 10, 6, 1), np.float32)
    signal[12, 1] = volume[5, 7, 2] = 4
    np.save(tmp_path / "signal.npy", signal)
    np.save(tmp_path / "volume.npy", volume)
    signal_net().save(tmp_path / "signals.keras")
    volume_net().save(tmp_path / "volumes.keras")
    (tmp_path / "signals_classes.txt").write_text("noise\nwave\n")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "place", "name"), [("signal", [12], "wave"), ("volume", [5, 7, 2], "class 1")]
)
def test_points_to_the_right_place(run, files, kind: str, place: list[int], name: str) -> None:
    result = run("trace", "--model", f"{kind}s.keras", f"{kind}.npy", "--methods", "evidence,fixations")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{kind}.npy: {name} (")
    assert f"most at {', '.join(map(str, place))}" in lines[2]
    assert lines[-1] == f"Figure: gazeback-out/{kind}.png"
    assert sorted(path.name for path in Path("gazeback-out").iterdir()) == [f"{kind}.json", f"{kind}.png"]
    written = json.loads(Path(f"gazeback-out/{kind}.json").read_text())
    assert (written["array"], written["shape"]) == (f"{kind}.npy", list(np.load(f"{kind}.npy").shape))
    for found in written["targets"][0]["methods"].values():
        *heaviest, weight = max(found["points"], key=lambda point: point[-1])
        assert heaviest == place
        assert 0 < weight <= 1
        assert len(found["box"]) == 2 * len(place)
    with Image.open(f"gazeback-out/{kind}.png") as figure:
        assert np.ptp(np.asarray(figure.convert("L"))) > 200


def test_several_arrays_a_neuron_and_json(run, files) -> None:
    np.save("other.npy", np.roll(np.load("signal.npy"), 9, axis=0))
    arguments = ("--model", "signals.keras", "signal.npy", "other.npy", "--layer", "conv", "--json")
    lines = [json.loads(line) for line in run("trace", *arguments).stdout.splitlines()]
    assert [line["targets"][0]["neuron"][0] for line in lines] == [12, 21]
    assert [line["targets"][0]["methods"]["evidence"]["points"] for line in lines] == [[[12, 1]], [[21, 1]]]


def test_figures_show_the_place(files) -> None:
    volume = trace_array(load_array_classifier(files / "volumes.keras"), files / "volume.npy")
    figure = volume.plot()
    assert figure.get_suptitle().endswith("evidence, slice 5")
    assert figure.axes[0].images[0].get_array().max() == 4
    signal = trace_array(load_array_classifier(files / "signals.keras"), files / "signal.npy")
    (panel,) = signal.plot().axes
    assert len(panel.lines) == 2
    assert panel.collections[0].get_offsets()[0][0] == 12


def test_a_signal_of_any_length(tmp_path: Path) -> None:
    signal_net(None).save(tmp_path / "any.keras")
    signal = np.zeros((17, 2))
    signal[3] = 1
    traced = trace_array(load_array_classifier(tmp_path / "any.keras"), signal)
    assert traced.targets[0].explanations[0].fixations.points.tolist() == [[3]]


NAN = np.zeros((40, 2))
NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((40, 3)), "expected an array [40, 2], as signals reads it without the batch axis"),
        (np.zeros((1, 40, 2)), "without the batch axis; got [1, 40, 2]"),
        (np.zeros(40), "without the batch axis; got [40]"),
        (NAN, "expected finite numbers, got nan at [3, 1]"),
        (np.full((40, 2), 1e300), "expected finite numbers, got inf at [0, 0]"),
        (np.zeros((40, 2), complex), "expected real numbers, got complex128"),
        (np.full((40, 2), None), "holds Python objects (a pickle), not numbers"),
        (pickle.dumps(np.zeros((40, 2))), "not a .npy file that can be read"),
        (b"", "not a .npy file that can be read"),
    ],
)  # fmt: skip
def test_a_bad_array_is_one_line(run, files, content: Any, told: str) -> None:
    Path("bad.npy").write_bytes(content) if isinstance(content, bytes) else np.save("bad.npy", content)
    result = run("trace", "--model", "signals.keras", "bad.npy", "signal.npy")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: bad.npy: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in Path("gazeback-out").iterdir()) == ["signal.json", "signal.png"]


def huge(shape: str) -> bytes:
    """A .npy file of 640 bytes that declares a shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(640)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("(40000000, 200000)", "declares the shape (40000000, 200000), and holds less"),
        ("(-40, 2)", "declares the shape (-40, 2), and holds less"),
        ("(40, 2", "not a .npy file that can be read"),
    ],
)
def test_a_header_is_not_trusted(files, run, shape: str, told: str) -> None:
    Path("huge.npy").write_bytes(huge(shape))
    result = run("trace", "--model", "signals.keras", "huge.npy")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: huge.npy: not a .npy file that can be read")
    assert told in result.stderr


def test_a_large_array_is_refused(files, monkeypatch) -> None:
    monkeypatch.setattr("gazeback.grounding.arrays.MOST_PIXELS", 79)
    with pytest.raises(ValueError, match="80 values; at most 79 are read"):
        load_array(files / "signal.npy", load_array_classifier(files / "signals.keras"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["signal.npy", "photo.png"],
         "expected only photos or only arrays (.npy), got photo.png among arrays"),
        (["signal.npy", "--preprocessing", "tf"],
         "--preprocessing: belongs to photos; an array (.npy) is read as it is"),
        (["signal.npy", "--model", "vgg16"],
         "vgg16: reads photos; an array needs a FILE.keras or package.module:function"),
        (["signal.npy", "--model", "signals.keras", "--methods", "saliency"],
         "method 'saliency' makes maps of photos; for an array take evidence, "),
        (["signal.npy", "--model", "signals.keras", "--target", "dog"], "no class 'dog'"),
        (["no.npy", "--model", "signals.keras"], "no.npy: no such file"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line(run, files, arguments: list[str], line: str) -> None:
    result = run("trace", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {line}")
    assert result.stderr.count("\n") == 1
    assert not Path("gazeback-out").exists()
