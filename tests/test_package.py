"""The package as it is installed: every folder with code is listed, typed, and imported the one way."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUP = PYPROJECT["tool"]["setuptools"]


def _folders() -> set[str]:
    tops = ("cnn_trace", "lstm_trace", "models", "grounding", "eval")
    return {
        path.parent.relative_to(ROOT).as_posix() for top in tops for path in (ROOT / top).rglob("__init__.py")
    }


def test_every_folder_with_code_is_installed() -> None:
    assert {name.removeprefix("gazeback.").replace(".", "/") for name in SETUP["packages"]} == _folders()
    assert SETUP["package-dir"] == {
        name: name.removeprefix("gazeback.").replace(".", "/") for name in SETUP["packages"]
    }


def test_every_folder_with_code_is_marked_as_typed() -> None:
    assert {folder for folder in _folders() if not (ROOT / folder / "py.typed").is_file()} == set()


def test_the_core_imports_no_backend_by_itself() -> None:
    sources = [
        path.read_text() for folder in ("cnn_trace", "lstm_trace") for path in (ROOT / folder).rglob("*.py")
    ]
    for backend in ("tensorflow", "jax", "torch"):
        assert not [s for s in sources if f"import {backend}" in s or f"from {backend}" in s]


def test_importing_the_doors_loads_no_tensorflow() -> None:
    code = (
        "import sys, gazeback.grounding, gazeback.grounding.commands.main; print('tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_changelog_begins_with_the_version() -> None:
    version = PYPROJECT["project"]["version"]
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert first is not None
    assert first[1] == version


def test_every_extra_is_documented() -> None:
    page = (ROOT / "docs/installing.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z]+)` \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(PYPROJECT["project"]["optional-dependencies"])


def test_the_citation_has_what_readers_of_it_need() -> None:
    """The required fields of the Citation File Format 1.2.0; the version is not said a second time."""
    fields = re.findall(r"^([a-z-]+):", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert {"cff-version", "message", "title", "authors", "license"} <= set(fields)
    assert "version" not in fields
