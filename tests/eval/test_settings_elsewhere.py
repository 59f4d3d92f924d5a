"""Settings that are chosen on one folder and used on another."""

import json

import pytest
from click.testing import CliRunner

from gazeback.eval.data.selection import part_of, tuned_on
from gazeback.grounding.commands.main import gazeback
from gazeback.models.classifiers.keras_files import save

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras, while it saves

ARGUMENTS = ["--methods", "activation", "--model"]


@pytest.fixture
def run(colours, squares_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(colours, "net.keras")

    def run(*arguments):
        return CliRunner().invoke(gazeback, ["evaluate", *map(str, arguments), *ARGUMENTS, "net.keras"])

    return run


@pytest.mark.parametrize("task", ["localization", "saliency", "proposals", "confidence"])
def test_all_images_are_reported_with_the_settings_of_the_other_run(run, squares_folder, tmp_path, task):
    first = run(task, "--data", squares_folder, "--json", "one.json")
    assert first.exit_code == 0, first.output
    second = run(task, "--data", squares_folder, "--json", "two.json", "--settings", "one.json")
    assert second.exit_code == 0, second.output
    result = json.loads((tmp_path / "two.json").read_text())
    assert result["part"] == "report"
    assert result["images measured"] == 12
    counts = [cell["n"] for table in result["tables"] for row in table["rows"] for cell in row["cells"]
              if isinstance(cell, dict)]  # fmt: skip
    assert max(counts, default=12) == 12  # all images of this folder, and none of the other


def test_settings_of_something_else_are_refused(run, squares_folder, tmp_path):
    run("saliency", "--data", squares_folder, "--json", "one.json")
    told = run("localization", "--data", squares_folder, "--settings", "one.json")
    assert told.exit_code == 2
    assert "settings of saliency for net.keras; expected those of localization" in told.stderr
    (tmp_path / "one.records.jsonl").write_text("")
    told = run("saliency", "--data", squares_folder, "--settings", "one.json")
    assert "has no records of activation, center" in told.stderr
    assert run("saliency", "--data", squares_folder, "--settings", "none.json").exit_code == 2


def test_parts_in_the_context():
    with tuned_on(["a"]):
        assert (part_of("a"), part_of("b")) == ("tune", "report")
    with tuned_on(None):
        assert {part_of(str(number)) for number in range(99)} == {"tune", "report"}
