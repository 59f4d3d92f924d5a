"""Print results on stdout, progress and errors on stderr; plain text if they are piped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gazeback.grounding.output.text import (
    NOT_MEASURED,
    facts,
    is_doubtful,
    is_language_habit,
    one_line,
    places,
    value_text,
)
from gazeback.models.progress import Bar
from gazeback.models.writing import json_text, printable

if TYPE_CHECKING:
    from gazeback.grounding.arrays import TracedArray
    from gazeback.grounding.captions import GroundedWord, Grounding
    from gazeback.grounding.classes import TracedPhoto

BAR_WIDTH = 10


class Screen:
    """A progress bar over `total` photos (only on a terminal, only for several), with lines above it."""

    def __init__(self, progress: Bar, total: int, doing: str) -> None:
        self._progress = progress
        self._task = progress.add_task(doing, total=total)

    def advance(self) -> None:
        self._progress.advance(self._task)

    def mistake(self, message: object) -> None:
        line = Text(f"Error: {printable(one_line(message))}")
        self._progress.console.print(line, soft_wrap=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Remove the bar while results are printed on the same terminal."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    @contextmanager
    def loading(self, what: str) -> Iterator[None]:
        """Show a line instead of the bar while `what` takes seconds."""
        with self.paused(), self._progress.console.status(what):
            yield


@contextmanager
def screen(total: int, doing: str = "Grounding") -> Iterator[Screen]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, shown=total > 1) as progress:
        yield Screen(progress, total, doing)


def print_json(result: dict[str, Any]) -> None:
    """Print one line of JSON per photo."""
    click.echo(json_text(result))


def print_grounding(grounding: "Grounding", page: Path) -> None:
    """Print the caption, a line per word, and the path of the page."""
    console = Console(highlight=False)
    console.print(Text(f"{grounding.photo.name}: {grounding.caption}"), soft_wrap=True)
    console.print(_table(grounding, "#" if console.options.ascii_only else "█"))
    unknown = list(dict.fromkeys(word.text for word in grounding.words if not word.known))
    if unknown:
        line = f"Not in the vocabulary, explained as an unknown word: {', '.join(unknown)}"
        console.print(Text(line), soft_wrap=True)
    console.print(Text(f"Page: {page}"), soft_wrap=True)


def print_traced(traced: "TracedPhoto", page: Path) -> None:
    """Print the predictions, a line per target with each method's result, and the path of the page."""
    shape = (traced.photo.height, traced.photo.width)
    _print_targets(traced, traced.photo.name, lambda found: facts(found, shape), f"Page: {page}")


def print_array(traced: "TracedArray", figure: Path) -> None:
    """Print the predictions of an array, a line per target with each method's strongest place, and the path
    of the figure."""
    _print_targets(traced, traced.name, places, f"Figure: {figure}")


def _print_targets(
    traced: "TracedPhoto | TracedArray", name: str, result: Callable[[Any], str], written: str
) -> None:
    console = Console(highlight=False)
    best = traced.predictions[0]
    console.print(Text(f"{name}: {best.name} ({value_text(best)})"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    measure = traced.targets[0].measure
    table.add_column("neuron" if measure == "activation" else "class", overflow="fold")
    table.add_column(measure, justify="right", no_wrap=True)
    for method in traced.methods:
        table.add_column(Text(method))
    for target in traced.targets:
        value = value_text(target).removeprefix("activation ")
        found = (Text(result(one)) for one in target.explanations)
        table.add_row(Text(target.name), Text(value), *found)
    console.print(table)
    console.print(Text(written), soft_wrap=True)


def _table(grounding: "Grounding", block: str) -> Table:
    """A table of the words; in nats, the word's log-probability is visual + language."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("word", overflow="fold")
    supported = any(word.support is not None for word in grounding.words)
    if supported:
        table.add_column("support", justify="right", no_wrap=True)
    table.add_column("visual share", no_wrap=True)
    for name in ("visual nats", "language nats"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for word in grounding.words:
        support = ["" if word.support is None else f"{100 * word.support:.0f} %"] * supported
        table.add_row(Text(word.text), *support, *_figures(word, block), _remark(word))
    return table


def _figures(word: "GroundedWord", block: str) -> tuple[str, str, str]:
    if word.visual_share is None:
        return NOT_MEASURED, "", ""
    length = round(BAR_WIDTH * word.visual_share) if word.visual_share > 0 else 0
    return (
        f"{100 * word.visual_share:3.0f} % {block * length}",
        f"{word.visual:+.2f}",
        f"{word.language:+.2f}",
    )


def _remark(word: "GroundedWord") -> str:
    remarks = ["language habit"] if is_language_habit(word) else []
    if is_doubtful(word):
        remarks.append("likely false")
    if not word.known:
        remarks.append("unknown word")
    return ", ".join(remarks)
