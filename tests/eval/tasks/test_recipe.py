"""The recipe for an evaluation task: one module and one line of the table."""

import inspect
import json
import sys

from click.testing import CliRunner
from twins import brightness_task

from gazeback.eval.command import CLASSIFIER, TASKS, TaskCommand
from gazeback.eval.subjects import classifier as subject


def test_a_task_is_one_module_and_one_line(squares_folder, colours, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gazeback.eval.tasks.brightness", brightness_task)
    monkeypatch.setattr(subject, "load_named", lambda model, weights: colours)
    line = TaskCommand(
        "tasks.brightness:BrightnessTask",
        (*CLASSIFIER, "methods", "part"),
        "Is it bright?",
        {"--methods": "evidence"},
    )
    assert "brightness" not in TASKS
    file = tmp_path / "brightness.json"
    arguments = ["--data", str(squares_folder), "--json", str(file)]
    result = CliRunner().invoke(line.command("brightness"), arguments, catch_exceptions=False)
    assert result.exit_code == 0
    rows = {row["label"] for row in json.loads(file.read_text())["tables"][0]["rows"]}
    assert rows == {"evidence", "center", "activation"}
    assert file.with_suffix(".html").is_file()
    assert len(inspect.getsource(brightness_task).splitlines()) < 150
