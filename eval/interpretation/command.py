"""The command `gazeback interpret`. TensorFlow is imported only when it runs."""

from pathlib import Path
from typing import Any

import click

from gazeback.grounding.workers import RAY_HELP, RAY_METAVAR, WORKERS_HELP, Workers
from gazeback.models.number_options import COUNT

PATH = click.Path(path_type=Path)


@click.command()
@click.option(
    "--model",
    required=True,
    metavar="NAME|FILE",
    help='A classifier, or "captioner", or a captioner\'s FILE.',
)
@click.option("--weights", metavar="FILE", help="The classifier's weights, if they are not bundled.")
@click.option("--data", required=True, type=PATH, help="Folder of class folders, photos, or captions.")
@click.option("--out", required=True, type=PATH, help="Folder for the results; made if it is missing.")
@click.option(
    "--scale",
    type=click.Choice(["layer", "filter"]),
    default="layer",
    show_default=True,
    help='Responses as fractions of their layer, as published; "filter": also standardised.',
)
@click.option(
    "--mu", type=float, help="Bound on the weights of a class.  [default: 10; 1 with --scale filter]"
)
@click.option(
    "--variant",
    type=click.Choice(["all", "only-conv"]),
    default="all",
    show_default=True,
    help="Filters of all layers, or of the convolutions alone, for the pages; both are measured.",
)
@click.option(
    "--limit",
    type=COUNT,
    help="At most this many photos of each class for learning and for measuring, or in all if the folder "
    "has no classes; the first by the hash of the name.",
)
@click.option("--words", metavar="A,B", help="Captioner: these words instead of the most frequent ones.")
@click.option("--workers", type=COUNT, metavar="N", help=WORKERS_HELP)
@click.option("--ray", metavar=RAY_METAVAR, help=RAY_HELP)
@click.option("--json", "json_path", type=PATH, help="Write all figures to this file.")
def interpret(workers: int | None, ray: str | None, **options: Any) -> None:
    """Show which filters a model has learned for its classes or words.

    Finds the filters that are relevant for each class (for a captioner: for each word) with the µ-Lasso. Then
    it removes them, and compares the loss with that of random filters of the same layers.
    """
    from gazeback.eval.interpretation.settings import Settings
    from gazeback.eval.interpretation.task import run_interpret

    run_interpret(Settings(**options, workers=Workers(workers, ray)))
