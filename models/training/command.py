"""``gazeback train captioner``: the command line of training."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@click.group()
def train() -> None:
    """Train a model of your own."""


@train.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Captions folder: captions_train.json, "
              "train/, captions_dev.json, dev/ (or COCO's annotations/captions_train2017.json, train2017/, ...).")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .keras file to write.")
@click.option("--encoder", default="efficientnet_lite0", show_default=True, help="efficientnet_lite0, or a network "
              "of keras.applications by name (downloads its ImageNet weights).")  # fmt: skip
@click.option(
    "--random-encoder", is_flag=True, help="Give the encoder random weights instead of ImageNet ones."
)
@click.option("--epochs", type=click.IntRange(min=0), default=None, help="Epochs with the encoder frozen.")
@click.option("--fine-tune-epochs", type=click.IntRange(min=0), default=None, help="Epochs, after those, in which the "
              "encoder's last blocks learn too.")  # fmt: skip
@click.option("--fine-tune-after", metavar="LAYER", default=None, help="Encoder layer behind which it learns; the "
              "default is known for efficientnet_lite0 only.")  # fmt: skip
@click.option(
    "--views", type=click.IntRange(min=1), default=None, help="Views per photo: itself, mirrored, crops."
)
@click.option(
    "--min-count", type=click.IntRange(min=1), default=None, help="Words seen less often are unknown."
)
@click.option("--units", type=click.IntRange(min=1), default=None, help="LSTM units.")
@click.option(
    "--embedding-size", type=click.IntRange(min=1), default=None, help="Size of the word embeddings."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=None, help="Same seed, same data, same captioner."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def captioner(data: Path, out: Path, random_encoder: bool, as_json: bool, **chosen: str | int | None) -> None:
    """Train a Show-and-Tell caption generator on photos with captions.

    Started again with the same options after it was stopped, it goes on from the last finished epoch.
    """
    import json

    from gazeback.models.errors import UserError
    from gazeback.models.training.train_captioner import Settings, train_captioner

    if out.suffix != ".keras":
        raise UserError(f"--out {out}: expected a file that ends in .keras")
    options = {name: value for name, value in chosen.items() if value is not None}
    settings = Settings(weights=None if random_encoder else "imagenet", **options)  # type: ignore[arg-type]
    with _Bars() as bars:
        trained = train_captioner(data, out, settings, bars.report)
    result = {"captioner": str(out), "words": len(trained.vocabulary), "dev_losses": bars.dev_losses}
    click.echo(json.dumps(result) if as_json else f"{out}: a captioner with {result['words']} words")


class _Bars:
    """A progress bar per stage of the training, on standard error, and a line per epoch."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, *times, console=Console(stderr=True))
        self._tasks: dict[str, int] = {}
        self.dev_losses: list[float] = []

    def __enter__(self) -> "_Bars":
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
