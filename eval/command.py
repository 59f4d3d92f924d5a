"""`gazeback evaluate TASK`: how good is it, in figures. What a task needs is imported when it runs."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gazeback.models.errors import UserError

if TYPE_CHECKING:
    from gazeback.eval.speed.command import Settings

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


def _captions(
    *options: Callable[..., Any], methods: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A task that asks a captioner: `data`, `split`, `model`, `chosen` (methods, where there are any), and
    its own options."""
    asked = click.option("--methods", "chosen", default=methods, show_default=True, help=_METHODS_HELP)
    return _runs(_DATA, _SPLIT, _MODEL, *([asked] if methods else []), *options)


@click.group()
def evaluate() -> None:
    """Measure how good captions and explanations are."""


@evaluate.command()
@_captions(_PART, methods="evidence,fixations,center,activation,grad-cam")
def phrases(running: "Running", **options: Any) -> None:
    """Do a word's pixels lie where the word is?

    Ground-truth sentences with boxes or masks for their phrases (flickr8k, or COCO's captions and instances):
    the pointing game, the energy inside, and the swap test, which asks whether a map depends on the word.
    """
    from gazeback.eval.tasks.phrases import PhrasesTask

    running(PhrasesTask(**options))


@evaluate.command()
@_captions(_TUNED_PART, methods="evidence,fixations,center,activation,grad-cam")
def generated(running: "Running", **options: Any) -> None:
    """Are the words that the captioner says itself where it points?

    Its captions' words are matched to the boxes of what people name; F1 as in ActivityNet-Entities.
    """
    from gazeback.eval.tasks.generated import GeneratedTask

    running(GeneratedTask(**options))


@evaluate.command()
@_captions(_PART, methods="evidence,grad-cam,center,activation")
def removal(running: "Running", **options: Any) -> None:
    """Does the caption need what we point at?

    The strongest 10 and 20 % of a word's map are blurred and the photo is captioned again: how often is the
    word gone, and the other words? Beside it, as much is blurred at random, in the middle, and elsewhere.
    """
    from gazeback.eval.tasks.removal import RemovalTask

    running(RemovalTask(**options))


@evaluate.command()
@_captions(_PART)
def words(running: "Running", **options: Any) -> None:
    """Which words need the picture?

    The visual share of function words, nouns, colours and verbs in -ing in ground-truth sentences, and by
    their place in the sentence.
    """
    from gazeback.eval.tasks.words import WordsTask

    running(WordsTask(**options))


@evaluate.command()
@_captions(_PART)
def preceding(running: "Running", **options: Any) -> None:
    """Which measure says what a word owes to the words before it?

    Rank correlations with what happens when an earlier word is left out of the caption: of the exact
    contributions, of gradient times embedding, and of the distance between the words.
    """
    from gazeback.eval.tasks.preceding import PrecedingTask

    running(PrecedingTask(**options))


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
        from gazeback.eval.speed.command import run_networks

        run_networks(networks, batch, methods, memory, rounds, options["json_path"])
    else:
        from gazeback.eval.speed.command import run_speed

        run_speed(_settings(data=data, **options), method, rounds)


@evaluate.command()
@_captions(_PART)
def captions(running: "Running", **options: Any) -> None:
    """How good are the captions?

    BLEU, METEOR, ROUGE, CIDEr, perplexity, how many different captions and words there are, and how much of
    people's vocabulary they use; beside captions that say the same of every photo.
    """
    from gazeback.eval.tasks.captions import CaptionsTask

    running(CaptionsTask(**options))


@evaluate.command()
@_classifies(_TUNED_PART, methods="evidence,fixations")
def localization(running: "Running", **options: Any) -> None:
    """Do a classifier's boxes and maps find the object?

    Photos with the class and the boxes of an object: GT-known localization, the top-1 localization error, the
    pointing game, the energy inside the boxes, and whether the maps depend on the class asked for.
    """
    from gazeback.eval.tasks.localization import LocalizationTask

    running(LocalizationTask(**options))


@evaluate.command()
@_classifies(_TUNED_PART, methods="evidence,fixations,grad-cam")
def confidence(running: "Running", **options: Any) -> None:
    """Does the classifier need what a map points at, and is it enough?

    The confidence in the predicted class when only a map's box is kept, when pixels are deleted or inserted
    in the map's order, and when the most relevant 30 % are occluded.
    """
    from gazeback.eval.tasks.confidence import ConfidenceTask

    running(ConfidenceTask(**options))


@evaluate.command()
@_classifies(_PART, methods="evidence,fixations,grad-cam")
def adversarial(running: "Running", **options: Any) -> None:
    """Does the evidence move when a changed photo fools the classifier?

    DeepFool on photos whose class is predicted right: the energy inside the object's boxes and the maps'
    rank correlation, before and after.
    """
    from gazeback.eval.tasks.adversarial import AdversarialTask

    running(AdversarialTask(**options))


@evaluate.command()
@_classifies(_PART, methods="evidence,fixations,grad-cam")
def robustness(running: "Running", **options: Any) -> None:
    """Do the maps stay where they are when the photo gets worse?

    Blur, noise and JPEG, two levels of each: the rank correlation with the clean photo's map, and the change
    of the energy inside the object's boxes and of the pointing game.
    """
    from gazeback.eval.tasks.robustness import RobustnessTask

    running(RobustnessTask(**options))


@evaluate.command()
@_classifies(_PART, methods="evidence,fixations,grad-cam")
def sanity(running: "Running", **options: Any) -> None:
    """Do the maps depend on what the network has learnt, and on the class?

    The likeness to the trained network's map when the layers are shuffled from the output down, and of two
    classes' maps; with evidence among the methods also two identities of the bundled captioner.
    """
    from gazeback.eval.tasks.sanity import SanityTask

    running(SanityTask(**options))


@evaluate.command()
@_runs(
    _DATA,
    click.option(
        "--model", default="sketch", show_default=True, help="A classifier of sketches: name or FILE."
    ),
    _WEIGHTS,
    click.option(
        "--methods",
        "chosen",
        default="evidence,fixations,grad-cam",
        show_default=True,
        help="center and activation always come along.",
    ),
    _PART,
)
def sketch(running: "Running", **options: Any) -> None:
    """Is the evidence for a drawing on its strokes?

    A folder with one folder of sketches per class, of which those are measured that training holds out.
    """
    from gazeback.eval.tasks.sketch import SketchTask

    running(SketchTask(**options))


@evaluate.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The Markdown file to write.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder for copies of the results without their images, from which the document is then made.",
)
def report(results: tuple[Path, ...], out: Path, keep: Path | None) -> None:
    """Collect RESULTS, files that --json wrote, in one document.

    A text in NAME.md beside NAME.json comes below its tables.
    """
    from gazeback.eval.harness.report import document, kept
    from gazeback.eval.harness.run import write_text

    write_text(out, document(results if keep is None else [kept(path, keep) for path in results]))


@evaluate.command()
@_runs(
    click.option(
        "--model",
        metavar="NAME|FILE",
        default="scenes-gap",
        show_default=True,
        help="scenes-gap, scenes-flatten, or a FILE from `gazeback train scenes`.",
    ),
    click.option(
        "--methods",
        "chosen",
        default="evidence,fixations,grad-cam,saliency",
        show_default=True,
        help=_METHODS_HELP,
    ),
)
def scenes(running: "Running", chosen: str, **options: Any) -> None:
    """Do a word's pixels lie on what it is about, to the pixel?

    Drawn scenes whose every word has an exact mask, or none: pointing, energy, IoU and the swap test by kind
    of word, and how much the picture decides, of words that it can and cannot. No data is needed; --limit is
    the number of scenes.
    """
    from gazeback.eval.scenes.task import ScenesTask
    from gazeback.eval.subjects.captioner import chosen_methods

    running(ScenesTask(methods=chosen_methods(chosen), **options))


_OBJECT_SPLIT = click.option(
    "--split", help="COCO: which annotations/instances_SPLIT.json; val2017, or the only one, unless told."
)


@evaluate.command()
@_classifies(_OBJECT_SPLIT, _PART, methods="evidence,fixations,grad-cam")
def pointing(running: "Running", **options: Any) -> None:
    """Is the maximum of a class's map on an object of that class?

    The pointing game with its tolerance of 15 pixels, on all objects and on the difficult ones; and how often
    a class that is not in the photo would hit. Photos with a class and boxes, or COCO's instances.
    """
    from gazeback.eval.tasks.pointing import PointingTask

    running(PointingTask(**options))


@evaluate.command()
@_classifies(_OBJECT_SPLIT, _TUNED_PART, methods="evidence,fixations,grad-cam")
def saliency(running: "Running", **options: Any) -> None:
    """Do the maps of the predicted class cover the object?

    Pixel precision at equal error rate by category; accuracy, precision, recall, F, IoU at one threshold;
    the mean absolute error. A folder of images/ and masks/, photos with boxes, or COCO's instances.
    """
    from gazeback.eval.tasks.saliency import SaliencyTask

    running(SaliencyTask(**options))


@evaluate.command()
@_classifies(_OBJECT_SPLIT, _TUNED_PART, methods="evidence,fixations,grad-cam")
def proposals(running: "Running", **options: Any) -> None:
    """Does a box for the predicted class hold an object, whatever it is?

    One box an image; mean recall and precision over the categories. COCO's instances, or photos with boxes.
    """
    from gazeback.eval.tasks.proposals import ProposalsTask

    running(ProposalsTask(**options))


@evaluate.command()
@_classifies(_PART, methods="evidence,fixations,grad-cam")
def errors(running: "Running", **options: Any) -> None:
    """What does the classifier look at when it is wrong?

    How the maps of the predicted and the true class compare, and with --json a gallery of the mistakes
    (FILE-gallery.html). Photos with a class and boxes, or a folder of images for each class.
    """
    from gazeback.eval.tasks.errors import ErrorsTask

    running(ErrorsTask(**options))


def _settings(part: Any = "all", **options: Any) -> "Settings":
    from gazeback.eval.speed.command import Settings

    return Settings(part=part, **options)


@evaluate.command()
@_runs(
    click.option(
        "--kind", type=click.Choice(["single-6c", "double-12c"]), required=True, help="Which flowers."
    ),
    click.option("--model", metavar="FILE", help="A .keras file of `gazeback train flowers`."),
    click.option(
        "--methods",
        "chosen",
        default="evidence,guided-backprop-resampled,guided-backprop,deconvnet-resampled,deconvnet,grad-cam,"
        "fixations",
        show_default=True,
        help="filter, activation, center and image always come along.",
    ),
)
def flowers(running: "Running", **options: Any) -> None:
    """Do a classifier's maps cover the part of a flower whose colour is the class?

    Drawn flowers with exact masks, in the spirit of an8Flower: the area under the curve of the IoU over
    thresholds. Settings are chosen on other flowers than the reported ones. No data is needed.
    """
    from gazeback.eval.flowers.task import FlowersTask

    running(FlowersTask(**options))


BOXES_HELP = "Photos with classes and boxes: images/, annotations.json, class_names.json."


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help=BOXES_HELP)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .json file to write.")
@click.option("--model", default="efficientnet-lite0", show_default=True, help="A classifier: name or FILE.")
@click.option("--weights", metavar="FILE", help="The classifier's weights, where they do not come with it.")
@click.option("--rounds", type=click.IntRange(min=1), default=160, show_default=True, help="Photos traced.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the photos.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def discernible(out: Path, as_json: bool, **options: Any) -> None:
    """Learn the weights of the tracing method "discernible" on photos with boxes.

    A bandit (UCB1) tries ratios of the weights; a box that fits a true one with an IoU of 0.5 earns a reward.
    Only the tune part of the photos is used.
    """
    from gazeback.eval.train_discernible import train_discernible

    if out.suffix != ".json":
        raise UserError(f"--out {out}: expected a file that ends in .json")
    result = train_discernible(out=out, **options)
    suc, cur, pre = result["alphas"]
    sentence = (
        f"{out}: succeeding {suc:g}, current {cur:g}, preceding {pre:g}, after {result['rounds']} rounds"
    )
    click.echo(json.dumps(result) if as_json else sentence)
