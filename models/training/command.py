"""``gazeback train``: the command line of training."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

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

from gazeback.models.errors import UserError
from gazeback.models.training.settings import Settings
from gazeback.models.training.sketch import sketch

DATA_HELP = (
    "Captions folder: captions_train.json, train/, captions_dev.json, dev/ "
    "(or COCO's annotations/captions_train2017.json, train2017/, ...)."
)
BOXES_HELP = "Photos with classes and boxes: images/, annotations.json, class_names.json."
ENCODER_HELP = "efficientnet_lite0, or a network of keras.applications (downloads its ImageNet weights)."
FINE_TUNE_HELP = "Encoder layer behind which it learns; known for efficientnet_lite0."


@click.group()
def train() -> None:
    """Train a model of your own."""


train.add_command(sketch)


def _number(name: str, least: int, text: str) -> Callable:
    """An option that takes a whole number and has the default of ``Settings``."""
    default = getattr(Settings(), name.removeprefix("--").replace("-", "_"))
    return click.option(name, type=click.IntRange(min=least), default=default, show_default=True, help=text)


@train.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help=DATA_HELP)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .keras file to write.")
@click.option("--encoder", default=Settings.encoder, show_default=True, help=ENCODER_HELP)
@click.option("--random-encoder", is_flag=True, help="Random encoder weights instead of ImageNet ones.")
@_number("--epochs", 0, "Epochs with the encoder frozen.")
@_number("--fine-tune-epochs", 0, "Epochs, after those, in which the encoder's last blocks learn too.")
@_number("--refine-epochs", 0, "Epochs of fine-tuning after those, restarted at half the learning rate.")
@click.option("--fine-tune-after", metavar="LAYER", default=None, help=FINE_TUNE_HELP)
@_number("--views", 1, "Views of a photo to learn from: itself, its mirror image, crops.")
@_number("--min-count", 1, "Words seen less often are unknown.")
@_number("--units", 1, "LSTM units.")
@_number("--embedding-size", 1, "Size of the word embeddings.")
@_number("--seed", 0, "Same seed, same data, same captioner.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def captioner(data: Path, out: Path, random_encoder: bool, as_json: bool, **chosen: Any) -> None:
    """Train a Show-and-Tell caption generator on photos with captions.

    Started again with the same options after it was stopped, it goes on from the last finished epoch.
    """
    from gazeback.models.training.train_captioner import train_captioner

    if out.suffix != ".keras":
        raise UserError(f"--out {out}: expected a file that ends in .keras")
    settings = Settings(weights=None if random_encoder else "imagenet", **chosen)
    with _Bars() as bars:
        trained = train_captioner(data, out, settings, bars.report)
    result = {"captioner": str(out), "words": len(trained.vocabulary), "dev_losses": bars.dev_losses}
    click.echo(json.dumps(result) if as_json else f"{out}: a captioner with {result['words']} words")


# They stand on the tracer, which this package does not import: found by name, when they are called.
DISCERNIBLE = "gazeback.eval.train_discernible"
SCENES = "gazeback.eval.scenes.train_scenes"
FLOWERS = "gazeback.eval.flowers.train"


@train.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help=BOXES_HELP)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .json file to write.")
@click.option("--model", default="efficientnet-lite0", show_default=True, help="A classifier: name or FILE.")
@click.option("--weights", metavar="FILE", help="The classifier's weights, where they do not come with it.")
@click.option("--rounds", type=click.IntRange(min=1), default=160, show_default=True, help="Photos traced.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the photos.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def discernible(out: Path, as_json: bool, **options: Any) -> None:
    """Learn the weights of the tracing method "discernible" on photos with boxes.

    A bandit (UCB1) tries ratios of the weights; a box that fits a true one with an IoU of 0.5 earns a reward.
    Only the tune part of the photos is used.
    """
    if out.suffix != ".json":
        raise UserError(f"--out {out}: expected a file that ends in .json")
    result = import_module(DISCERNIBLE).train_discernible(out=out, **options)
    suc, cur, pre = result["alphas"]
    sentence = (
        f"{out}: succeeding {suc:g}, current {cur:g}, preceding {pre:g}, after {result['rounds']} rounds"
    )
    click.echo(json.dumps(result) if as_json else sentence)


@train.command()
@click.option(
    "--head", type=click.Choice(["gap", "flatten"]), required=True, help="How it reads the last map."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .keras file to write.")
@click.option("--scenes", type=click.IntRange(min=1), default=20_000, show_default=True, help="How many.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=12, show_default=True, help="Rounds through them."
)
@click.option(
    "--refine-epochs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Rounds after those, in which a spread-out last map costs.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same start."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def scenes(head: str, out: Path, as_json: bool, **chosen: int) -> None:
    """Train a small captioner of scenes, from nothing: the benchmark of `gazeback evaluate scenes`.

    Scenes are a few shapes on textured ground, drawn from a seed; no data is needed.
    """
    if out.suffix != ".keras":
        raise UserError(f"--out {out}: expected a file that ends in .keras")
    training = import_module(SCENES)
    with _Bars() as bars:
        result = training.train_scenes(head, out, training.Settings(**chosen), bars.report)
    click.echo(json.dumps(result) if as_json else f"{out}: a captioner with {result['words']} words")


@train.command()
@click.option("--kind", type=click.Choice(["single-6c", "double-12c"]), required=True, help="Which flowers.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="FILE.keras, or .npz: half precision."
)
@click.option("--pictures", type=click.IntRange(min=1), default=1800, show_default=True, help="How many.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=4, show_default=True, help="Rounds through them."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same start."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def flowers(kind: str, out: Path, as_json: bool, **chosen: int) -> None:
    """Train a small classifier of drawn flowers, from nothing: the benchmark of `gazeback evaluate flowers`.

    The colour of a part is the class; the flowers are drawn from a seed, and no data is needed.
    """
    training = import_module(FLOWERS)
    with _Bars() as bars:
        trained = training.train_flowers(kind, out, training.Settings(**chosen), bars.report)
    result = {"classifier": str(out), "kind": kind, "accuracy": trained.accuracy, "held_out": trained.count}
    sentence = f"{out}: right on {trained.accuracy:.1%} of {trained.count} flowers that it never saw"
    click.echo(json.dumps(result) if as_json else sentence)


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
