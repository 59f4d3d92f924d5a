"""The command `gazeback app`: explain photos in a browser."""

from threading import Event

import click

from gazeback.grounding.app.serve import check, serving
from gazeback.grounding.commands.settings import check_model

WARNING = (
    "Warning: everybody who can reach this machine can use the app, without a password. "
    "Uploads are read and explained here."
)


@click.command(short_help="Explain photos in a browser.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME|FILE",
    help="A captioner to choose beside the bundled ones: a FILE.keras or your own package.module:function. "
    "Repeatable.",
)  # fmt: skip
@click.option("--port", type=int, default=7860, show_default=True, metavar="N", help="The port to listen on.")
@click.option("--public", is_flag=True, help="Listen on all addresses, so that others can use the app.")
def app(models: tuple[str, ...], port: int, public: bool) -> None:
    """Serve an app on this machine: drop a photo, edit its caption, and see the evidence move.

    The app needs Gradio: pip install 'gazeback[app]'. Ctrl-C ends it, and removes what was uploaded.
    """
    for model in models:
        check_model(model)
    check(port, public)
    if public:
        click.echo(WARNING, err=True)
    click.echo("Starting ...", err=True)
    with serving(models, port, public) as address:
        click.echo(f"Open {address} in a browser; Ctrl-C ends the app.")
        Event().wait()
