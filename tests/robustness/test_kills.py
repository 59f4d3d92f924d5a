"""A run that is killed at random moments and started again ends as one that was never killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from robustness import world

KILLS = 4
"""The number of kills of each command."""

COMMANDS: dict[str, tuple[str, str]] = {
    "ground coco": (world.GROUND_COCO.replace("--limit 1", "--limit 4"), "results.json"),
    "evaluate": (f"evaluate pointing {world.LABELLED} --workers 2", "result.json"),
    "interpret": (world.INTERPRET, "result.json"),
    "train sketch": ("train sketch --data sketches --out out/it.keras --epochs 6 --batch 4", "it.keras"),
    "train captioner": (
        "train captioner --data coco --out out/it.keras --random-encoder --epochs 3 --fine-tune-epochs 0 "
        "--views 2 --min-count 1 --units 8 --embedding-size 8",
        "it.keras",
    ),
}


def run(folder: Path, line: str, seconds: float | None = None) -> int | None:
    """Run a command; kill it and its workers after some seconds. Returns its exit code, None if killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gazeback.grounding.commands.main", *line.split()], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    assert process.returncode == 0, told.decode()
    return 0


def content(path: Path) -> Any:
    """What a result says: JSON without the command line, or the weights of a model."""
    if path.suffix == ".json":
        found = json.loads(path.read_text())
        return {key: found[key] for key in found if key != "command"} if isinstance(found, dict) else found
    with zipfile.ZipFile(path) as archive:
        return archive.read("model.weights.h5")


@pytest.fixture
def twin(case: Path, tmp_path: Path) -> Path:
    """Another copy of the world."""
    return Path(shutil.copytree(case, tmp_path / "twin", symlinks=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_run_ends_as_one_that_was_not(case: Path, twin: Path, name: str) -> None:
    line, result = COMMANDS[name]
    started = time.monotonic()
    run(case, line)
    whole = time.monotonic() - started
    draw = random.Random(name)
    for _ in range(KILLS):
        run(twin, line, draw.uniform(0.3, 1.0) * whole)
    run(twin, line)
    assert content(twin / "out" / result) == content(case / "out" / result)
