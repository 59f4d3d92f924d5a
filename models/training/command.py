"""The command ``gazeback train captioner``, and the progress bars of every training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gazeback.models.backend import check_tensorflow
from gazeback.models.number_options import LARGEST_SEED, MOST, WIDTH
from gazeback.models.progress import Bar
from gazeback.models.training.settings import Settings
from gazeback.models.writing import check_output, json_text

DATA_HELP = (
    "Captions folder: captions_train.json, train/, captions_dev.json, dev/ "
    "(or COCO's annotations/captions_train2017.json, train2017/, ...)."
)
ALSO_HELP = "A second captions folder to learn from, without every tenth photo, which is set apart."
ENCODER_HELP = (
    "efficientnet_lite0, a network of keras.applications (downloads its ImageNet weights), "
    "or a captioner's .keras file."
)
FINE_TUNE_HELP = "Encoder layer after which it is trained; the default is known for efficientnet_lite0."


def _number(name: str, least: int, text: str, most: int = 10_000) -> Callable:
    """An option that takes a whole number and has the default of ``Settings``."""
    default = getattr(Settings(), name.removeprefix("--").replace("-", "_"))
    return click.option(name, type=click.IntRange(least, most), default=default, show_default=True, help=text)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help=DATA_HELP)
@click.option("--also", type=click.Path(path_type=Path), default=None, help=ALSO_HELP)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .keras file to write.")
@click.option("--encoder", default=Settings.encoder, show_default=True, help=ENCODER_HELP)
@click.option("--random-encoder", is_flag=True, help="Random encoder weights instead of ImageNet weights.")
@_number("--epochs", 0, "Epochs with the encoder frozen.")
@_number("--fine-tune-epochs", 0, "Epochs, after those, in which the encoder's last blocks learn too.")
@_number("--refine-epochs", 0, "Epochs of fine-tuning after those, restarted at half the learning rate.")
@click.option("--fine-tune-after", metavar="LAYER", default=None, help=FINE_TUNE_HELP)
@_number("--views", 1, "Views of a photo to learn from: itself, its mirror image, crops.", 100)
@_number("--min-count", 1, "Words seen less often are unknown.", MOST)
@_number("--units", 1, "LSTM units.", WIDTH)
@_number("--embedding-size", 1, "Size of the word embeddings.", WIDTH)
@click.option("--show-once", is_flag=True, help="Show the photo at the first step only (Show and Tell).")
@_number("--seed", 0, "Same seed, same data, same captioner.", LARGEST_SEED)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def captioner(
    data: Path,
    also: Path | None,
    out: Path,
    random_encoder: bool,
    show_once: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Train a caption generator on photos with captions.

    If it was stopped, start it again with the same options: it resumes after the last finished epoch.
    """
    check_tensorflow("gazeback train captioner")
    from gazeback.models.training.train_captioner import train_captioner

    check_output(out, "--out", ".keras")
    weights = None if random_encoder else "imagenet"
    settings = Settings(weights=weights, every_word=not show_once, **chosen)
    with TrainingBars() as bars:
        trained = train_captioner(data, out, settings, bars.report, also)
    result = {"captioner": str(out), "words": len(trained.vocabulary), "dev_losses": bars.dev_losses}
    click.echo(json_text(result) if as_json else f"{out}: a captioner with {result['words']} words")


class TrainingBars:
    """A progress bar per stage of the training, on standard error, and a line per epoch."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Bar(*columns, *times, transient=False)
        self._tasks: dict[str, int] = {}
        self.dev_losses: list[float] = []

    def __enter__(self) -> "TrainingBars":
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def report(self, what: str, done: int, total: int, loss: float | None) -> None:
        """Show that ``done`` of ``total`` steps of a stage are done; "dev" is an epoch's dev loss."""
        if what == "dev" and loss is not None:
            self.dev_losses.append(loss)
            self._progress.console.print(f"epoch {done} of {total}: dev loss {loss:.4f} nats per word")
            return
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        text = what if loss is None else f"{what} (loss {loss:.3f})"
        self._progress.update(self._tasks[what], completed=done, total=total, description=text)  # type: ignore[arg-type]
