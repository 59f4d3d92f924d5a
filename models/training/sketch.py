"""The command ``gazeback train sketch``, which trains a classifier of sketches."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from gazeback.models.number_options import LARGEST_SEED
from gazeback.models.progress import Bar
from gazeback.models.training.sketch_settings import OPTIONS, Settings
from gazeback.models.writing import check_output, json_text

DATA_HELP = "Folder with one folder of pictures per class (or the same in train/)."


def _number(name: str, least: int, text: str, most: int = 10_000) -> Callable:
    """An option that takes a whole number and has the default of ``Settings``."""
    default = getattr(Settings, name.removeprefix("--"))
    return click.option(name, type=click.IntRange(least, most), default=default, show_default=True, help=text)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help=DATA_HELP)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .keras file to write.")
@click.option("--network", type=click.Choice(tuple(OPTIONS)), default=Settings.network, show_default=True)
@_number("--epochs", 0, "Epochs at most.")
@_number("--batch", 1, "Sketches per step.")
@_number("--patience", 1, "Epochs without a better dev loss before it stops.")
@_number("--seed", 0, "Same seed, same data, same classifier.", LARGEST_SEED)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def sketch(data: Path, out: Path, as_json: bool, **chosen: Any) -> None:
    """Train a classifier of sketches, and measure it on a fifth of them that it never saw.

    The held-out sketches are chosen by their names alone. If it was stopped, start it again with the same
    options: it resumes after the last finished epoch.
    """
    from gazeback.models.training.train_sketch import train_sketch

    check_output(out, "--out", ".keras")
    settings = Settings(**chosen)
    with _Bar() as bar:
        classifier, accuracy = train_sketch(data, out, settings, bar.report)
    classes = len(classifier.class_names)
    result = {"classifier": str(out), "network": settings.network, "classes": classes, **asdict(accuracy)}
    result |= {"dev_losses": bar.dev_losses}
    sentence = (
        f"{out}: {settings.network} for {classes} classes, right on {accuracy.top_1:.1%} of "
        f"{accuracy.count} held-out sketches (five guesses: {accuracy.top_5:.1%})"
    )
    click.echo(json_text(result) if as_json else sentence)


class _Bar:
    """A progress bar on standard error, and a line per epoch."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Bar(*columns, transient=False)
        self._task = self._progress.add_task("train", total=None)
        self.dev_losses: list[float] = []

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def report(self, what: str, done: int, total: int, loss: float) -> None:
        """Show that ``done`` of ``total`` batches ("train") or epochs ("dev") are done."""
        if what == "dev":
            self.dev_losses.append(loss)
            self._progress.console.print(f"epoch {done} of {total}: dev loss {loss:.4f} nats")
        else:
            self._progress.update(
                self._task, completed=done, total=total, description=f"train (loss {loss:.3f})"
            )
