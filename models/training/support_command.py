"""The command ``gazeback train support``."""

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from gazeback.models.errors import UserError
from gazeback.models.number_options import COUNT
from gazeback.models.progress import Bar
from gazeback.models.writing import check_output, json_text, write_atomically, writing_to

DATA_HELP = "Captions folder: captions_train.json and train/. Several times: learn from all of them."


@click.command()
@click.option("--data", "folders", type=click.Path(path_type=Path), multiple=True, help=DATA_HELP)
@click.option(
    "--everyday", type=click.Path(path_type=Path),
    help="Another such folder, of whose photos only every tenth is taken: those that are set apart.",
)  # fmt: skip
@click.option(
    "--tune", type=click.Path(path_type=Path),
    help="Another such folder, of whose dev photos the tune part is taken, on which nothing is reported.",
)  # fmt: skip
@click.option("--model", metavar="NAME|FILE", help="The captioner; the bundled one if it is left out.")
@click.option("--photos", type=COUNT, default=400, show_default=True, help="Photos of each folder.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True,
    help="FILE.keras: the captioner with the support. FILE.npz: the support alone, as it is bundled.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def support(
    folders: tuple[Path, ...],
    everyday: Path | None,
    tune: Path | None,
    model: str | None,
    photos: int,
    out: Path,
    as_json: bool,
) -> None:
    """Learn which of a captioner's words are true.

    The captioner writes a caption of each photo. What it says and people say, too, is true. From that the
    probability is learned that a word is true.
    """
    check_output(out, "--out", ".keras", ".npz")

    from gazeback.models import load_captioner
    from gazeback.models.training.captions_folder import read_everyday, read_train_split, read_tune_part
    from gazeback.models.training.fit_support import fit_support

    splits = [read_train_split(folder) for folder in folders]
    splits += [] if everyday is None else [read_everyday(everyday)[1]]
    splits += [] if tune is None else [read_tune_part(tune)]
    if not splits:
        raise UserError("expected photos to learn from: give --data, --everyday or --tune")
    captioner = load_captioner(model)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns) as bar:
        task = bar.add_task("captions", total=None)
        captioner.support = fit_support(
            captioner, splits, photos, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if out.suffix == ".keras":
        captioner.save(out)
    else:
        with writing_to(out):
            write_atomically(out, captioner.support.to_bytes())
    weights = dict(zip(captioner.support.cues, captioner.support.weights.tolist(), strict=True))
    told = ", ".join(f"{cue} {weight:+.2f}" for cue, weight in weights.items())
    click.echo(json_text({"captioner": str(out), "weights": weights}) if as_json else f"{out}: {told}")
