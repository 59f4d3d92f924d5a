"""`gazeback evaluate scenes`, from the command line to the file."""

import json

from click.testing import CliRunner

from gazeback.eval.command import evaluate
from gazeback.eval.scenes.protocol import HELD_OUT_SEED
from gazeback.eval.scenes.scenes import scene
from gazeback.eval.scenes.task import ScenesTask, scene_name


def test_scenes_are_named_by_seed_and_number():
    task = ScenesTask(limit=5, chosen="center")
    assert sorted(task.names()) == [scene(HELD_OUT_SEED, index).name for index in range(5)]
    assert scene_name(3) == scene(HELD_OUT_SEED, 3).name
    assert ScenesTask(chosen="center").cache_key() == task.cache_key()


def test_the_command_measures_scenes(tmp_path):
    file = tmp_path / "scenes.json"
    options = ["scenes", "--limit", "4", "--methods", "evidence", "--json", str(file)]
    result = CliRunner().invoke(evaluate, options, catch_exceptions=False)
    assert result.exit_code == 0
    written = json.loads(file.read_text())
    titles = [table["title"] for table in written["tables"]]
    assert titles[0] == "Colours and shapes"
    assert {"Pointing by kind of word", "What the picture decides", "The captioner"} <= set(titles)
    rows = [row["label"] for row in written["tables"][0]["rows"]]
    assert rows == ["evidence", "center", "activation"]
    assert len(written["scenes"]) == 4
    assert "What the picture decides" in result.stdout
