"""The command `gazeback train scenes`. TensorFlow is imported only when it runs."""

from pathlib import Path

import click

from gazeback.models.number_options import COUNT, SEED
from gazeback.models.training.command import TrainingBars
from gazeback.models.writing import check_output, json_text


@click.command()
@click.option(
    "--head", type=click.Choice(["gap", "flatten"]), required=True, help="How it reads the last map."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .keras file to write.")
@click.option("--scenes", type=COUNT, default=20_000, show_default=True, help="How many.")
@click.option("--epochs", type=COUNT, default=12, show_default=True, help="Rounds through them.")
@click.option(
    "--refine-epochs",
    type=COUNT,
    default=5,
    show_default=True,
    help="Rounds after those, in which a spread-out last map costs.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same start.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def scenes(head: str, out: Path, as_json: bool, **chosen: int) -> None:
    """Train a small captioner of scenes for the benchmark of `gazeback evaluate scenes`.

    Scenes are a few shapes on textured ground, drawn from a seed; no data is needed.
    """
    check_output(out, "--out", ".keras")
    from gazeback.eval.scenes.train_scenes import Settings, train_scenes

    with TrainingBars() as bars:
        result = train_scenes(head, out, Settings(**chosen), bars.report)
    click.echo(json_text(result) if as_json else f"{out}: a captioner with {result['words']} words")
