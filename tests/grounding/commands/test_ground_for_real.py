"""The whole path with the bundled captioner: nothing but our output, odd photos, broken models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from gazeback.models.photos import bundled_photo

# Keras hands NumPy 2 its variables in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_one_command_explains_two_examples_and_is_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gazeback.grounding.commands.main", "ground", "--json"],
        capture_output=True, text=True, cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHONW"))},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    right, wrong = map(json.loads, done.stdout.splitlines())
    assert (right["photo"], wrong["photo"]) == ("camera.png", "chelsea.png")
    assert (right["width"], right["height"]) == (512, 512)
    supports = {word["text"]: word["support"] for word in right["words"]}
    assert min(supports["man"], supports["camera"]) > 0.5
    assert any(word["support"] is not None and word["support"] < 0.5 for word in wrong["words"])
    for word in (*right["words"], *wrong["words"]):
        assert word["logprob"] == pytest.approx(word["visual"] + word["language"], abs=1e-4)
    written = sorted(path.name for path in (tmp_path / "gazeback-out").iterdir())
    assert written == [f"{name}.{end}" for name in ("camera", "chelsea") for end in ("html", "json", "png")]


def odd_photos(folder: Path) -> dict[str, Path]:
    """The astronaut, stored in odd ways."""
    upright = Image.open(bundled_photo()).convert("RGB").resize((96, 72))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.asarray(upright.convert("L"), np.uint16) * 257
    stored = {
        "upright.png": (upright, {}),
        "turned.png": (upright.transpose(Image.Transpose.ROTATE_90), {"exif": exif}),
        "alpha.png": (upright.convert("RGBA"), {}),
        "grey.png": (upright.convert("L"), {}),
        "deep.png": (Image.fromarray(deep), {}),
        "palette.gif": (upright.quantize(), {}),
        "press.jpg": (upright.convert("CMYK"), {}),
        "wide.png": (upright.resize((2000, 10)), {}),
        "tall.png": (upright.resize((10, 2000)), {}),
    }
    for name, (image, options) in stored.items():
        image.save(folder / name, **options)
    return {name: folder / name for name in stored}


def test_odd_photos_are_grounded_upright(run, tmp_path: Path) -> None:
    photos = odd_photos(tmp_path)
    result = run("ground", *photos.values(), "--caption", "orange suit", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = {entry["photo"]: entry for entry in map(json.loads, result.stdout.splitlines())}
    assert list(found) == list(photos)
    for entry in found.values():
        for word in entry["words"]:
            points = np.array(word["points"]).reshape(-1, 3)
            assert (points >= 0).all()
            assert (points[:, :2] < (entry["height"], entry["width"])).all()
    for one, other in (("upright.png", "turned.png"), ("upright.png", "alpha.png"), ("grey.png", "deep.png")):
        assert found[one]["words"] == found[other]["words"], other
    assert (found["wide.png"]["width"], found["tall.png"]["height"]) == (2000, 2000)


@pytest.mark.parametrize("content", [b"", b"roses are red", b"PK\x03\x04 no archive"])
def test_broken_models_are_one_line(run, photo: Path, content: bytes) -> None:
    Path("mine.keras").write_bytes(content)
    result = run("ground", photo, "--model", "mine.keras")
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: mine.keras: ")
    assert not Path("gazeback-out").exists()


def test_a_model_that_is_no_captioner_is_one_line(run, photo: Path) -> None:
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save("mine.keras")
    result = run("ground", photo, "--model", "mine.keras")
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: mine.keras: not a captioner")
    assert not Path("gazeback-out").exists()
