"""The command `gazeback train flowers`. TensorFlow is imported only when it runs."""

from pathlib import Path

import click

from gazeback.models.number_options import COUNT, SEED
from gazeback.models.training.command import TrainingBars
from gazeback.models.writing import json_text


@click.command()
@click.option("--kind", type=click.Choice(["single-6c", "double-12c"]), required=True, help="Which flowers.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="FILE.keras, or .npz: half precision."
)
@click.option("--pictures", type=COUNT, default=1800, show_default=True, help="How many.")
@click.option("--epochs", type=COUNT, default=4, show_default=True, help="Rounds through them.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same start.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def flowers(kind: str, out: Path, as_json: bool, **chosen: int) -> None:
    """Train a small classifier of drawn flowers for the benchmark of `gazeback evaluate flowers`.

    The colour of a part is the class; the flowers are drawn from a seed, and no data is needed.
    """
    from gazeback.eval.flowers.train import Settings, train_flowers

    with TrainingBars() as bars:
        trained = train_flowers(kind, out, Settings(**chosen), bars.report)
    result = {"classifier": str(out), "kind": kind, "accuracy": trained.accuracy, "held_out": trained.count}
    sentence = f"{out}: right on {trained.accuracy:.1%} of {trained.count} flowers that it never saw"
    click.echo(json_text(result) if as_json else sentence)
