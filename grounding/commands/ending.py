"""The end of a command: open what it wrote, and say what to try next."""

import webbrowser
from pathlib import Path

import click


def finish(page: Path, next_steps: str, as_json: bool, open_it: bool) -> None:
    """Open a page in the browser if asked to, and print the last lines; with JSON, none."""
    opened = open_it and webbrowser.open(page.resolve().as_uri())
    if open_it and not opened:
        click.echo(f"No browser was found; open {page} yourself.", err=True)
    if not as_json:
        click.echo("Opened in the browser." if opened else f"Open {page.name} in a browser, or add --open.")
        click.echo(f"Next, try {next_steps}.")
