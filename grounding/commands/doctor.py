"""The command `gazeback doctor`: is everything there that gazeback needs, and does it work?"""

from collections.abc import Iterator
from typing import Any

import click

from gazeback.grounding.commands.installation import examination
from gazeback.models.writing import json_text

EXIT_PROBLEM = 1


@click.command(short_help="Check the installation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the installation: packages, backend, threads, data, and a small trace whose answer is known.

    Each problem is one line that says what to do. The exit code is 1 if there is one, 0 otherwise.
    """
    found = examination()
    click.echo(json_text(found) if as_json else _text(found))
    for problem in found["problems"]:
        click.echo(f"Error: {problem}", err=True)
    if found["problems"]:
        ctx.exit(EXIT_PROBLEM)


def _text(found: dict[str, Any]) -> str:
    return "\n".join(f"{name:<12}{text}" for name, text in _rows(found))


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The examination as text, row by row; what is missing is told by the lines of problems."""
    yield "gazeback", f"{found['gazeback']}, Python {found['python']}, {found['system']}"
    yield "packages", ", ".join(f"{name} {number}" for name, number in found["packages"].items() if number)
    for extra, lacks in found["extras"].items():
        yield "extra", f"{extra}: {'; '.join(lacks) or 'installed'}"
    if found["backend"]:
        devices = ", ".join(found["backend"]["devices"])
        yield "backend", found["backend"]["name"] + (f" on {devices}" if devices else "")
    if found["threads"]:
        threads = found["threads"]
        yield "threads", f"{threads['processors']} processors, {threads['blas']} threads in linear algebra"
    yield from (("data", f"{name}: {place}") for name, place in found["data"].items() if place)
    if found["self-check seconds"] is not None:
        yield "self-check", f"passed in {found['self-check seconds']:.1f} s"
