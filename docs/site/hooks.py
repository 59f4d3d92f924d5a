"""What MkDocs asks while it builds the site: pages of the root folder, the reference, and their links."""

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]

FROM_ROOT = {"index.md": "README.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}

REFERENCE = {
    "grounding": "grounding",
    "models": "models",
    "cnn_trace": "cnn_trace",
    "lstm_trace": "lstm_trace",
    "baselines": "eval/baselines",
}
"""For each page of the reference, the folder of the package whose public names it lists."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root folder, the examples that pages link to, and the reference."""
    for page, source in FROM_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for path in (ROOT / "examples").iterdir():
        if path.suffix in (".py", ".ipynb"):
            files.append(File.generated(config, f"examples/{path.name}", content=path.read_bytes()))
    for name, folder in REFERENCE.items():
        files.append(File.generated(config, f"reference/{name}.md", content=reference(folder)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links from and to the root folder into links of the site."""
    return re.sub(r"\]\((?:docs|\.\.)/", "](", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings name others as editors read it, :func:`name`; the site shows the name."""
    return re.sub(r":(?:func|class|meth|data|mod|attr):<code>~?(.*?)</code>", r"<code>\1</code>", html)


def reference(folder: str) -> str:
    """The page of a package: its public names, each with its docstring."""
    package = f"gazeback.{folder.replace('/', '.')}"
    entries = [f"::: {package}.{name}\n" for name in public_names(folder)]
    return f"# `{package}`\n\n" + "\n".join(entries)


def public_names(folder: str) -> list[str]:
    """The names in a package's ``__all__``, read from its text, so that nothing is imported."""
    tree = ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(statement.value)
            return names
    raise ValueError(f"{folder}/__init__.py has no __all__")
