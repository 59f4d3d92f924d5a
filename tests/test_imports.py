"""The map of the modules: imports go one way, and no two modules import each other."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("cnn_trace", "lstm_trace", "models", "grounding", "eval")
BELOW = {
    "cnn_trace": set(),
    "lstm_trace": {"cnn_trace"},
    "models": set(),
    "grounding": {"models", "cnn_trace", "lstm_trace"},
    "eval": {"models", "cnn_trace", "lstm_trace", "grounding"},
}
"""The folders that each folder may import."""
CONTRACT = {
    ("gazeback.grounding.captions", "gazeback.grounding.output.writer"),
    ("gazeback.grounding.classes", "gazeback.grounding.output.writer"),
}
"""`Grounding.save` and `TracedPhoto.save` call the writer that shows them: the one circle that may stay."""
FILES = {
    "gazeback." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def imported(path: Path) -> Iterator[str]:
    """The project's modules that a file imports: lazy and type-only imports count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in FILES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


GRAPH = {name: {found for found in imported(path) if found in FILES} - {name} for name, path in FILES.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle() -> None:
    assert circle({a: {b for b in found if (a, b) not in CONTRACT} for a, found in GRAPH.items()}) == []


def test_the_circle_that_may_stay_is_there() -> None:
    assert all(b in GRAPH[a] for a, b in CONTRACT)


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"a"}})) == {"a", "b"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_go_one_way(folder: str) -> None:
    reached = defaultdict(set)
    for name, found in GRAPH.items():
        if name.split(".")[1] == folder:
            for one in found:
                reached[one.split(".")[1]].add(name)
    assert {other: names for other, names in reached.items() if other not in BELOW[folder] | {folder}} == {}


def test_models_do_not_name_eval() -> None:
    """Not by a string either."""
    naming = [path for path in (ROOT / "models").rglob("*.py") if "gazeback.eval" in path.read_text()]
    assert naming == []
