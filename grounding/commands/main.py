"""The `gazeback` command: a group whose commands are imported only when they run, so --help is fast."""

import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from gazeback.grounding.commands.quiet import silence_libraries
from gazeback.grounding.output.text import one_line
from gazeback.models.backend import INSTALL
from gazeback.models.errors import UserError

# name -> (module:object, one line of help). The help is here so that listing the commands imports none.
COMMANDS = {
    "ground": (
        "gazeback.grounding.commands.ground:ground",
        "Caption photos and show which pixels each word came from.",
    ),
    "trace": (
        "gazeback.grounding.commands.trace:trace",
        "Classify photos and show which pixels each class came from.",
    ),
    "app": (
        "gazeback.grounding.commands.app:app",
        "Explain photos in a browser.",
    ),
    "train": (
        "gazeback.grounding.commands.train:train",
        "Train a model of your own.",
    ),
    "evaluate": (
        "gazeback.eval.command:evaluate",
        "Measure how good captions and explanations are.",
    ),
    "interpret": (
        "gazeback.eval.interpretation.command:interpret",
        "Show which filters a model has learned for its classes or words.",
    ),
    "doctor": (
        "gazeback.grounding.commands.doctor:doctor",
        "Check the installation.",
    ),
}

MANY_OBJECTS = 200_000
"""New objects after which Python looks for garbage: importing TensorFlow makes a million that are none."""

EXIT_BAD_INPUT = 2

EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143  # 128 + SIGINT or SIGTERM, as shells have it

HELP_ASKED = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2


class Terminated(BaseException):
    """SIGTERM came. As with Ctrl-C, what was begun is put in order, and workers are ended."""


class Refused(click.ClickException):
    """Bad input, reported in one line."""

    exit_code = EXIT_BAD_INPUT


class LazyGroup(click.Group):
    """A group that imports a command when it runs.

    table: name -> (module:object, one line of help).
    """

    def __init__(self, *arguments: Any, table: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, _, name = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])


class CommandLine(LazyGroup):
    """The outermost group, which reports every mistake of the user in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors(ctx):
            return super().invoke(ctx)


@contextmanager
def one_line_errors(ctx: click.Context) -> Iterator[None]:
    """Report a user's mistake in one line with exit code 2, and Ctrl-C with 130; other errors keep their
    traceback."""
    try:
        yield
    except HELP_ASKED:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else ctx.command_path
        raise Refused(f"{one_line(error.format_message())} See `{command} --help`.") from None
    except ValueError as error:
        if not isinstance(error, user_errors()):
            raise
        raise Refused(one_line(error)) from None
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in INSTALL:
            raise
        raise Refused(INSTALL[missing]) from None
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    except Terminated:
        click.echo("Terminated.", err=True)
        ctx.exit(EXIT_TERMINATED)
    except MemoryError:
        raise Refused("not enough memory: take fewer or smaller inputs, or fewer --workers") from None
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        raise Refused(one_line(f"{place}{error.strerror}")) from None


def user_errors() -> tuple[type[ValueError], ...]:
    """The errors that are reported in one line; those of the core only if it is loaded, as help must not load
    it."""
    core = sys.modules.get("gazeback.cnn_trace.errors")
    return (UserError,) if core is None else (UserError, core.TraceError)


@click.command(cls=CommandLine, table=COMMANDS)
@click.version_option(package_name="gazeback", prog_name="gazeback")
def gazeback() -> None:
    """Show which pixels a prediction came from.

    For a caption generator: which pixels each word came from, and which words came from language habit
    instead of the picture. Without arguments, `gazeback ground` explains an example photo.
    """


def main() -> None:
    """The console script `gazeback`."""
    silence_libraries()
    gc.set_threshold(MANY_OBJECTS, 50, 50)
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without the letter gets a question mark, not a crash
            stream.reconfigure(errors="replace")
    try:
        gazeback(prog_name="gazeback")
    except Terminated:
        sys.exit(EXIT_TERMINATED)
    except BrokenPipeError:
        pass
    except OSError as error:  # a help text that cannot be printed
        click.echo(f"Error: {error.strerror}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    finally:
        gc.freeze()  # Python's last search for garbage, through all that was imported, takes most of a second
        flush_output()


def _terminate(*_: object) -> None:
    raise Terminated


def flush_output() -> None:
    """Flush the output; a reader that has closed its end (`| head`) is not an error."""
    try:
        if sys.stdout is not None:  # the user may have closed it
            sys.stdout.flush()
    except OSError as error:  # otherwise Python reports an error when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            click.echo(f"Error: the output cannot be written ({error.strerror})", err=True)
            sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()
