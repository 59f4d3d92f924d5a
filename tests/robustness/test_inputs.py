"""Kinds of bad input times commands: each ends in exit 0, or in exit 2 with one or two lines.

A sample runs in the fast suite, the whole table in the slow one.
"""

import random
from pathlib import Path

import pytest
from robustness import kinds, options, world
from robustness.running import complaints

VALUES_PER_COMMAND = 45
"""The number of changed values in a JSON file that are tried with each command."""


@pytest.mark.slow
@pytest.mark.parametrize("name", world.COMMANDS)
def test_the_commands_of_the_world_work(case: Path, name: str) -> None:
    _, line = world.COMMANDS[name]
    assert complaints(line.split(), case, good=True) == []


def damages(name: str) -> list[str]:
    """The kinds of damage for a command: those for its kind of file, and a sample of changed values."""
    file = Path(world.COMMANDS[name][0])
    special = {".json": kinds.JSON, ".keras": kinds.MODELS, ".png": kinds.PHOTOS}[file.suffix]
    values = [f"value {number}" for number in range(VALUES_PER_COMMAND)] if file.suffix == ".json" else []
    return [*kinds.FILES, *special, *values]


TABLE = [(name, kind) for name in world.COMMANDS for kind in damages(name)]
SAMPLE = random.Random(0).sample([entry for entry in TABLE if entry[1] != "pipe"], 24)


def tried(case: Path, name: str, kind: str) -> list[str]:
    file, line = world.COMMANDS[name]
    found = kinds.kinds_for(case / file)
    if kind.startswith("value "):
        values = sorted(set(found) - set(kinds.FILES) - set(kinds.JSON))
        kind = random.Random(f"{name} {kind}").choice(values)
    found[kind](case / file)
    return complaints(line.split(), case)


@pytest.mark.parametrize(("name", "kind"), SAMPLE)
def test_a_sample_of_bad_files(case: Path, name: str, kind: str) -> None:
    assert tried(case, name, kind) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), TABLE)
def test_bad_files(case: Path, name: str, kind: str) -> None:
    assert tried(case, name, kind) == []


LINES = options.cases()


def _short(line: list[str]) -> str:
    return " ".join(line)[:50]


@pytest.mark.parametrize("arguments", random.Random(1).sample(LINES, 12), ids=_short)
def test_a_sample_of_odd_options(case: Path, arguments: list[str]) -> None:
    assert complaints(arguments, case) == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments", LINES, ids=_short)
def test_odd_options(case: Path, arguments: list[str]) -> None:
    before = (case / "photo.png").read_bytes()
    assert complaints(arguments, case) == []
    assert (case / "photo.png").read_bytes() == before


def test_the_table_is_large() -> None:
    assert len(TABLE) + len(LINES) >= 600
