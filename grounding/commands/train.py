"""The command group `gazeback train`; each command is in the module that it trains for."""

import click

from gazeback.grounding.commands.main import LazyGroup

COMMANDS = {
    "captioner": (
        "gazeback.models.training.command:captioner",
        "Train a caption generator on photos with captions.",
    ),
    "discernible": (
        "gazeback.eval.command:discernible",
        'Learn the weights of the tracing method "discernible" on photos with boxes.',
    ),
    "flowers": (
        "gazeback.eval.flowers.command:flowers",
        "Train a small classifier of drawn flowers.",
    ),
    "scenes": (
        "gazeback.eval.scenes.command:scenes",
        "Train a small captioner of drawn scenes.",
    ),
    "sketch": (
        "gazeback.models.training.sketch:sketch",
        "Train a classifier of sketches, and measure it on a fifth of them.",
    ),
    "support": (
        "gazeback.models.training.support_command:support",
        "Learn which of a captioner's words are true.",
    ),
}


@click.command(cls=LazyGroup, table=COMMANDS)
def train() -> None:
    """Train a model of your own."""
