"""`gazeback doctor`: a good installation passes, and each thing that is wrong is one line."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from gazeback.grounding.commands import installation
from gazeback.grounding.commands.main import gazeback


def doctor(*options: str) -> Result:
    return CliRunner().invoke(gazeback, ["doctor", *options])


def problems(result: Result) -> list[str]:
    assert result.exit_code == 1
    return result.stderr.splitlines()


def test_a_good_installation_passes() -> None:
    result = doctor()
    assert (result.exit_code, result.stderr) == (0, "")
    names = [line.split()[0] for line in result.stdout.splitlines()]
    expected = {"gazeback", "packages", "extra", "backend", "threads", "data", "self-check"}
    assert set(names) == expected
    assert f"keras {version('keras')}" in result.stdout


def test_json_is_one_line_with_the_same() -> None:
    [line] = doctor("--json").stdout.splitlines()
    found = json.loads(line)
    assert found["problems"] == []
    assert found["gazeback"] == version("gazeback")
    assert found["packages"]["numpy"] == version("numpy")
    assert set(found["extras"]) == set(metadata("gazeback").get_all("Provides-Extra"))
    assert all(Path(place).exists() for place in found["data"].values())
    assert 0 < found["self-check seconds"] < 60
    assert found["threads"]["processors"] >= 1


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(name: str) -> str:
        if name == "nltk":
            raise PackageNotFoundError(name)
        return {"pillow": "9.0", "gradio": "5.0"}.get(name) or version(name)

    monkeypatch.setattr(installation, "version", of)
    result = doctor()
    assert problems(result) == [
        "Error: pillow is 9.0, expected >=10.1: pip install 'pillow>=10.1'",
        "Error: nltk is not installed: pip install 'nltk>=3.8'",
    ]
    assert "app: gradio is 5.0, expected >=6" in result.stdout


def test_a_damaged_and_a_missing_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "show_at_every_word.npz").write_bytes(b"PK")
    monkeypatch.setattr("gazeback.models.bundled.WEIGHTS", tmp_path)
    monkeypatch.setattr("gazeback.models.photos.find_spec", lambda name: None)
    captioner, photo = problems(doctor())
    assert str(tmp_path / "show_at_every_word.npz") in captioner
    assert captioner.endswith("install gazeback again")
    assert photo.startswith("Error: the example photo is part of scikit-image, which is not installed")


def test_evidence_in_a_wrong_place(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = SimpleNamespace(box=lambda: [0.0, 0.0, 32.0, 32.0])
    monkeypatch.setattr("gazeback.cnn_trace.trace", lambda *_, **options: [elsewhere])
    [line] = problems(doctor())
    assert line.startswith(
        "Error: self-check: expected evidence in the box (20, 4, 6, 6), found it in (0, 0, 32"
    )


@pytest.mark.parametrize(
    ("chosen", "remedy"),
    [
        ("nothing", "install the backend, or choose another one with KERAS_BACKEND"),
        ("jax", "JAX, the chosen backend of Keras, is not installed: pip install jax"),
    ],
)
def test_a_backend_that_cannot_be_imported(chosen: str, remedy: str) -> None:
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from gazeback.grounding.commands.main import main; sys.argv = ['gazeback', 'doctor']; main()"
    )
    environment = {**os.environ, "KERAS_BACKEND": chosen}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.endswith(remedy)
    assert "packages" in result.stdout
