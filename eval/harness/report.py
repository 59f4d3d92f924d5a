"""Make one document of many results: every table with its command, and a comment on it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gazeback.eval.harness.run import tables_of, write_text
from gazeback.eval.harness.table import as_markdown
from gazeback.eval.harness.task import skipped_line
from gazeback.models.errors import DataError

KEPT = ("task", "gazeback", "command", "selection", "about", "images measured", "skipped", "tables")

HEAD = """# Results

Use this page to look up how well each method does, and to repeat a measurement. Every table was printed by
the command above it. `gazeback evaluate report` makes this page from the JSON files of the results.

± is one standard error. Two trivial baselines stand beside the methods. `center` is a point or a box in the
middle, and the fraction of the area. `activation` is the channel sum of the last map, which is the same for
every question. Settings are chosen on the tune part of the images, three in ten by a hash of the file name,
and reported on the others.
"""


def document(paths: Sequence[Path]) -> str:
    """Build the document as Markdown, the results in the given order; `NAME.md` beside `NAME.json` is its
    comment.

    Raises DataError for a file that is not a result of `gazeback evaluate TASK --json`.
    """
    return "\n".join([HEAD, *(_section(path) for path in paths)])


def kept(path: Path, folder: Path) -> Path:
    """Copy a result into a folder, with its tables and without its images; returns the path. Raises
    UserError."""
    result = read_result(path)
    content = {key: result[key] for key in KEPT if key in result}
    copy = folder / path.name
    write_text(copy, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return copy


def _section(path: Path) -> str:
    result = read_result(path)
    comment = path.with_suffix(".md")
    try:
        parts = [f"## {path.stem.replace('-', ', ', 1).capitalize()}", f"```bash\n{result['command']}\n```"]
        for table in tables_of(result):
            parts += [f"**{table.title}**", as_markdown(table).strip()]
        parts += skipped_line(result.get("skipped", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no result of `gazeback evaluate TASK --json`: {error!r}") from None
    if comment.exists():
        parts.append(comment.read_text(encoding="utf-8").strip())
    return "\n\n".join(parts) + "\n"


def read_result(path: Path) -> Mapping[str, Any]:
    """Read a JSON file. Raises DataError."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(result, dict):
        raise DataError(f"{path} is no result of `gazeback evaluate TASK --json`: it is not an object")
    return result
