"""The documentation's Python and the examples run as they stand there."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

from gazeback.models.photos import bundled_photo

ROOT = Path(__file__).parent.parent
FOLDERS = ("models", "cnn_trace", "lstm_trace", "grounding", "eval")
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if "```python" in page.read_text()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_in_the_documentation_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.open(bundled_photo()).convert("RGB").save(tmp_path / "holiday.jpg")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(compile(block, page.name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "ground_photo.py",
        "trace_classifier.py",
        pytest.param("stride_artefacts.py", marks=pytest.mark.slow),
        pytest.param("flowers.py", marks=pytest.mark.slow),
        pytest.param("scenes.py", marks=pytest.mark.slow),
        pytest.param("merge_captioner.py", marks=pytest.mark.slow),
        pytest.param("attention_captioner.py", marks=pytest.mark.slow),
        pytest.param("transformer_captioner.py", marks=pytest.mark.slow),
    ],
)
def test_the_examples_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = shutil.copy(ROOT / "examples" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [name])
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path / "out"))
    runpy.run_path(script, run_name="__main__")
    assert capsys.readouterr().out.count("\n") >= 2


def test_every_task_is_documented() -> None:
    from gazeback.eval.command import evaluate

    listed = re.findall(r"^\| `([a-z]+)` \|", (ROOT / "docs/evaluating.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(set(evaluate.commands) - {"report"})


def test_every_module_is_in_a_room_of_the_map() -> None:
    """A name without a folder is beside the name before it; a folder's name ends in ``/``."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.split("### The rooms inside")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    named = []
    for row in rows:
        folder = ""
        for name in re.findall(r"`(.*?)`", row):
            named.append(name if name.split("/")[0] in FOLDERS else folder + name)
            folder = folder or named[-1].split("/")[0] + "/"
    missing = [name for name in named if not (ROOT / name).exists()]
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    modules = [path.relative_to(ROOT).as_posix() for path in paths]
    homeless = [name for name in modules if name not in named and not name.endswith("__init__.py")]
    rooms = tuple(name for name in named if name.endswith("/"))
    assert missing == []
    assert [name for name in homeless if not name.startswith(rooms)] == []


def test_the_document_of_results_is_made_from_the_results() -> None:
    from gazeback.eval.harness.report import document

    paths = sorted((ROOT / "docs/results").glob("*.json"))
    assert paths
    assert (ROOT / "docs/results.md").read_text(encoding="utf-8") == document(paths)


def test_the_readmes_table_is_that_of_the_results() -> None:
    result = json.loads((ROOT / "docs" / "results" / "phrases-flickr8k.json").read_text())
    rows = {
        row["label"]: [f"{abs(cell['mean']):.3f}"[1:] for cell in row["cells"][:3]]
        for row in result["tables"][0]["rows"]
    }
    names = {
        "`evidence`": "evidence",
        "Grad-CAM at the last map": "grad-cam",
        "`fixations`, as published": "fixations",
        "the map's channel sum, no word asked": "activation",
        "the centre of the photo": "center",
    }
    shown = re.findall(r"\| (.*) \| (\.\d+) \| (\.\d+) \| (\.\d+) \|", (ROOT / "README.md").read_text())
    assert {names[label]: figures for label, *figures in shown} == rows


def test_the_documentation_links_to_what_is_there() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").glob("*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
