"""Make one document of many results: every table with its command, and a comment on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import field

from gazeback.eval.harness.run import write_text
from gazeback.eval.harness.table import StoredTable, Table, as_markdown
from gazeback.eval.harness.task import skipped_line
from gazeback.models.errors import DataError
from gazeback.models.reading import Known, read_json, read_text
from gazeback.models.writing import json_text

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
    result = read_json(path, dict[str, Any], EXPECTED)
    content = {key: result[key] for key in KEPT if key in result}
    copy = folder / path.name
    if copy.exists() and copy.samefile(path):
        return path
    write_text(copy, json_text(content, indent=1) + "\n")
    return copy


def _section(path: Path) -> str:
    result = read_json(path, Result, EXPECTED)
    comment = path.with_suffix(".md")
    parts = [f"## {path.stem.replace('-', ', ', 1).capitalize()}", f"```bash\n{result.command}\n```"]
    for stored in result.tables:
        try:
            table = Table.of(stored)
        except ValueError as error:
            raise DataError(f"{path}: not {EXPECTED}: {error}") from None
        parts += [f"**{table.title}**", as_markdown(table).strip()]
    parts += skipped_line(result.skipped)
    if comment.exists():
        parts.append(read_text(comment, "the comment on a result, in UTF-8").strip())
    return "\n\n".join(parts) + "\n"


def check_names(paths: Sequence[Path]) -> None:
    """Raise DataError if two results have one name: the second would replace the first."""
    names = [path.name for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        both = " and ".join(str(path) for path in paths if path.name == twice[0])
        raise DataError(f"two results have the name {twice[0]}: {both}; give each a name of its own")


EXPECTED = "a result of `gazeback evaluate TASK --json`"


class Result(Known):
    """What a section of the document is made from."""

    command: str
    tables: list[StoredTable]
    skipped: dict[str, int] = field(default_factory=dict)
