import json
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gazeback.eval.command import evaluate
from gazeback.models.errors import UserError

HEAVY = ("tensorflow", "keras", "numpy", "matplotlib", "scipy")


@pytest.fixture
def run(captioner, monkeypatch):
    """Runs `evaluate ARGUMENTS` with the tiny captioner; lets errors through: the real door makes them exit
    2."""
    for module in ("speed.command", "subjects.captioner"):
        monkeypatch.setattr(f"gazeback.eval.{module}.load_captioner", lambda model: captioner)

    def run(*arguments):
        return CliRunner(env={"COLUMNS": "200"}).invoke(
            evaluate, [str(argument) for argument in arguments], catch_exceptions=False
        )

    return run


def test_the_group_imports_nothing_heavy():
    code = f"import sys, gazeback.eval.command; print([name for name in {HEAVY} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    "task", ["phrases", "words", "speed", "captions", "generated", "removal", "preceding"]
)
def test_help(run, task):
    result = run(task, "--help")
    assert result.exit_code == 0
    assert "--data" in result.output
    assert "--json" in result.output


def test_phrases(run, data_folder, tmp_path):
    path = tmp_path / "phrases.json"
    result = run("phrases", "--data", data_folder, "--methods", "grad-cam,center,activation", "--json", path)
    assert result.exit_code == 0
    assert "6 phrases of 2 photos, 4 of them swapped" in result.output
    assert "missing image: 1" in result.output
    assert "- center" in result.output
    written = json.loads(path.read_text())
    assert written["task"] == "phrases"
    assert written["about"]["model"] == "bundled"
    assert "sha256" in written["selection"]
    assert written["skipped"]["unusable image"] == 1
    assert set(written["methods"]) == {"grad-cam", "center", "activation"}
    assert set(written["grad-cam minus"]) == {"center", "activation"}
    assert {image["file_name"]: len(image["phrases"]) for image in written["images"]} == {
        "1_a.png": 3,
        "2_b.png": 3,
    }
    assert {image["part"] for image in written["images"]} <= {"tune", "report"}
    assert list(tmp_path.glob(".*")) == []
    page = path.with_suffix(".html").read_text()
    assert "energy" in page
    again = run("phrases", "--data", data_folder, "--methods", "grad-cam", "--json", path)  # from its records
    assert again.output == result.output


def test_phrases_of_no_usable_photo(run, data_folder):
    for name in ("1_a.png", "2_b.png"):
        (data_folder / "dev" / name).unlink()
    with pytest.raises(UserError, match="none of the images could be measured") as caught:
        run("phrases", "--data", data_folder, "--methods", "center")
    assert "missing image: 3" in str(caught.value)


def test_words(run, data_folder, tmp_path):
    path = tmp_path / "words.json"
    result = run("words", "--data", data_folder, "--json", path)
    assert result.exit_code == 0
    assert "function words" in result.output
    assert json.loads(path.read_text())["kinds"]["nouns"]["visual"]["n"] == 6


def test_speed(run, data_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gazeback.eval.speed.captioner.ground", lambda *arguments, **options: None)
    monkeypatch.setattr("gazeback.eval.speed.captioner.word_evidence", lambda *arguments, **options: None)
    for name in ("3_c.png", "4_missing.png"):
        shutil.copy(data_folder / "dev" / "1_a.png", data_folder / "dev" / name)
    path = tmp_path / "speed.json"
    result = run("speed", "--data", data_folder, "--rounds", "2", "--json", path)
    assert result.exit_code == 0
    assert "grounding / captioning" in result.output
    written = json.loads(path.read_text())
    assert written["limit"] == 10
    assert written["ratios"]["tracing one word / forward pass"]["n"] == 8
    assert len(written["images"]) == 4


def test_captions(run, data_folder, tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "1_a.png"}],
        "annotations": [{"image_id": 1, "caption": "A red dog ."}],
    }
    (data_folder / "captions_dev.json").write_text(json.dumps(content))
    path = tmp_path / "captions.json"
    result = run("captions", "--data", data_folder, "--json", path)
    assert result.exit_code == 0
    assert "BLEU-4" in result.output
    assert json.loads(path.read_text())["images"][0]["file_name"] == "1_a.png"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("phrases", "--data", "nowhere"), "no such data folder: nowhere"),
        (("words", "--data", "{data}", "--split", "tset"), "no phrases_tset.json in .*its splits are dev"),
        (
            ("phrases", "--data", "{data}", "--methods", "lrq"),
            "one or more of evidence, .*, got 'lrq'",
        ),
        (
            ("speed", "--data", "{data}", "--method", "center"),
            "method: expected one of evidence, fixations, top, discernible, walk, got 'center'",
        ),
        (("words", "--data", "{data}", "--json", "no/folder.json"), "there is no folder no"),
        (("words", "--data", "{data}", "--json", "{data}"), "it is a folder"),
        (("captions", "--data", "{data}"), "no captions_dev.json"),
    ],
)
def test_mistakes_are_one_clear_line(run, data_folder, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        run(*(argument.format(data=data_folder) for argument in arguments))
    assert "\n" not in str(caught.value)


def test_a_limit_of_none_is_refused(run, data_folder):
    result = run("words", "--data", data_folder, "--limit", "0")
    assert result.exit_code == 2
