"""`gazeback evaluate TASK`: how good is it, in figures. What a task needs is imported when it runs."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gazeback.eval.tasks import Settings

_DATA = click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of the data set.")
_SPLIT = click.option("--split", default="dev", show_default=True, help="Which split of it.")
_PART = click.option(
    "--part",
    type=click.Choice(["all", "tune", "report"]),
    default="all",
    show_default=True,
    help="Only photos whose names hash into this part: settings are chosen on one and reported on the other.",
)
_LIMIT = click.option(
    "--limit", type=click.IntRange(min=1), help="At most this many photos, the first by the hash of the name."
)
_MODEL = click.option("--model", metavar="FILE", help="Another captioner than the bundled one.")
_JSON = click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures there.")


def _measures(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A task's own options, and the ones that all tasks share."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((_DATA, _SPLIT, _LIMIT, _MODEL, _JSON, *options)):
            function = option(function)
        return function

    return decorate


_CLASSIFIER = click.option(
    "--model", default="efficientnet-lite0", show_default=True, help="A classifier: name or FILE."
)
_WEIGHTS = click.option(
    "--weights", metavar="FILE", help="The classifier's weights, where they do not come with it."
)
_WORKERS = click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes to measure in."
)
_FRESH = click.option("--fresh", is_flag=True, help="Measure all again, whatever FILE.records.jsonl has.")
_RESULT = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all figures there, and beside it a page (.html), a table (.csv) and the records "
    "(.records.jsonl) from which a next run goes on.",
)
_TUNED_PART = click.option(
    "--part",
    type=click.Choice(["all", "tune", "report"]),
    default="all",
    show_default=True,
    help="Which photos the figures are about. What needs a setting: all means the report part; settings are "
    "chosen on the tune part, which is measured in any case.",
)
_METHODS_HELP = "The first is compared with each of the others; center and activation always come along."


class Running:
    """How a task is to be run; called with the task, runs it."""

    def __init__(self, json_path: Path | None, workers: int, fresh: bool) -> None:
        self._how: dict[str, Any] = {"json_path": json_path, "workers": workers, "fresh": fresh}

    def __call__(self, task: Any) -> None:
        from gazeback.eval.harness.run import run_task

        run_task(task, **self._how)


def _runs(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A task of the harness: its own options, and those of every run, handed on as `running`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_running(json_path: Path | None, workers: int, fresh: bool, **given: Any) -> None:
            function(running=Running(json_path, workers, fresh), **given)

        for option in reversed((*options, _LIMIT, _WORKERS, _FRESH, _RESULT)):
            with_running = option(with_running)
        return with_running

    return decorate


def _classifies(
    *options: Callable[..., Any], methods: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A task that asks a classifier: `data`, `model`, `weights`, `chosen` (methods), and its own options."""
    asked = click.option("--methods", "chosen", default=methods, show_default=True, help=_METHODS_HELP)
    return _runs(_DATA, _CLASSIFIER, _WEIGHTS, asked, *options)


@click.group()
def evaluate() -> None:
    """Measure how good captions and explanations are."""


@evaluate.command()
@_measures(
    _PART,
    click.option(
        "--methods",
        default="evidence,fixations,center,activation,grad-cam",
        show_default=True,
        help="The first is compared with each of the others.",
    ),
)
def phrases(methods: str, **options: Any) -> None:
    """Do a word's pixels lie where the word is?

    Ground-truth sentences with boxes for their phrases: the pointing game, the energy inside the boxes, and
    the swap test, which asks whether a map depends on the word.
    """
    from gazeback.eval.tasks import run_phrases

    run_phrases(_settings(**options), methods)


@evaluate.command()
@_measures(_PART)
def words(**options: Any) -> None:
    """Which words need the picture?

    The visual share of function words, nouns and colours in ground-truth sentences.
    """
    from gazeback.eval.tasks import run_words

    run_words(_settings(**options))


@evaluate.command()
@_measures(_PART)
def preceding(**options: Any) -> None:
    """Which measure says what a word owes to the words before it?

    Rank correlations with what happens when an earlier word is left out of the caption: of the exact
    contributions, of gradient times embedding, and of the distance between the words.
    """
    from gazeback.eval.tasks import run_preceding

    run_preceding(_settings(**options))


@evaluate.command()
@click.option("--data", type=click.Path(path_type=Path), help="Photos with captions: measure the captioner.")
@_SPLIT
@_LIMIT
@_MODEL
@click.option("--method", default="evidence", show_default=True, help="Captioner: the tracer's method.")
@click.option("--networks", metavar="A,B", help="Names of keras.applications, when there is no --data.")
@click.option("--batch", default="1,16", show_default=True, help="Networks: sizes of the batches.")
@click.option(
    "--methods", default="evidence,fixations,saliency", show_default=True, help="Networks: what is timed."
)
@click.option("--memory", is_flag=True, help="Networks: measure the peak memory instead of the time.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds of each.")
@_JSON
def speed(
    data: Path | None, method: str, networks: str | None, batch: str, methods: str, memory: bool, rounds: int,
    **options: Any,
) -> None:  # fmt: skip
    """What does it cost?

    As ratios in one process. With --data: grounding to captioning and to a forward pass, one photo at a time,
    ten photos unless --limit says otherwise. Without: methods on networks with random weights to their
    compiled forward pass.
    """
    if data is None:
        from gazeback.eval.tasks import run_networks

        run_networks(networks, batch, methods, memory, rounds, options["json_path"])
    else:
        from gazeback.eval.tasks import run_speed

        run_speed(_settings(data=data, **options), method, rounds)


@evaluate.command()
@_measures()
def captions(**options: Any) -> None:
    """How good are the captions?

    BLEU, CIDEr, perplexity, and how many different captions and words there are.
    """
    from gazeback.eval.tasks import run_captions

    run_captions(_settings(**options))


@evaluate.command()
@_classifies(_TUNED_PART, methods="evidence,fixations")
def localization(running: "Running", **options: Any) -> None:
    """Do a classifier's boxes and maps find the object?

    Photos with the class and the boxes of an object: GT-known localization, the top-1 localization error, the
    pointing game, the energy inside the boxes, and whether the maps depend on the class asked for.
    """
    from gazeback.eval.localization_task import LocalizationTask

    running(LocalizationTask(**options))


def _settings(part: Any = "all", **options: Any) -> "Settings":
    from gazeback.eval.tasks import Settings

    return Settings(part=part, **options)
