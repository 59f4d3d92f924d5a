"""The command `gazeback evaluate TASK`: measure captions and explanations.

Each task is an entry of `TASKS`, from which its command is made. The task is imported when it runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

from gazeback.grounding.workers import RAY_HELP, RAY_METAVAR, WORKERS_HELP, Workers
from gazeback.models.backend import check_tensorflow
from gazeback.models.errors import UserError
from gazeback.models.number_options import COUNT, SEED
from gazeback.models.writing import check_output, json_text

PATH = click.Path(path_type=Path)
PARTS = click.Choice(["all", "tune", "report"])
POSITIVE = COUNT
METHODS_HELP = "Names between commas. The first is compared with each of the others; baselines are added."

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "data": ("--data", {"required": True, "type": PATH, "help": "Folder of the data set."}),
    "split": ("--split", {"default": "dev", "help": "The split of the data set."}),
    "coco split": (
        "--split",
        {"help": "COCO: the split of annotations/instances_SPLIT.json; by default val2017 or the only one."},
    ),
    "part": (
        "--part",
        {
            "type": PARTS,
            "default": "all",
            "help": "Only photos of this part, by a hash of their names: settings are chosen on the tune "
            "part and reported on the other.",
        },
    ),
    "tuned part": (
        "--part",
        {
            "type": PARTS,
            "default": "all",
            "help": "The photos that are reported. If a setting is chosen, all means the report part; the "
            "tune part, on which it is chosen, is always measured.",
        },
    ),
    "captioner": (
        "--model",
        {
            "metavar": "FILE",
            "help": "A captioner's FILE.keras, or your own package.module:function, not the bundled one.",
        },
    ),
    "classifier": (
        "--model",
        {"default": "efficientnet-lite0", "help": "A classifier: name or FILE."},
    ),
    "scenes": (
        "--model",
        {
            "metavar": "NAME|FILE",
            "default": "scenes-gap",
            "help": "scenes-gap, scenes-flatten, or a FILE from `gazeback train scenes`.",
        },
    ),
    "flowers": ("--model", {"metavar": "FILE", "help": "A .keras file of `gazeback train flowers`."}),
    "kind": (
        "--kind",
        {"type": click.Choice(["single-6c", "double-12c"]), "required": True, "help": "The kind of flowers."},
    ),
    "weights": (
        "--weights",
        {"metavar": "FILE", "help": "The classifier's weights, if they are not bundled."},
    ),
    "methods": ("--methods", {"help": METHODS_HELP}),
    "settings": (
        "--settings",
        {
            "type": PATH,
            "metavar": "FILE",
            "help": "Choose settings on the images of another run, whose --json FILE this is, and report all "
            "images here.",
        },
    ),
    "every sketch": (
        "--all",
        {
            "is_flag": True,
            "help": "Measure every sketch of the folder; the classifier was not trained on it.",
        },
    ),
    "limit": (
        "--limit",
        {"type": POSITIVE, "help": "At most this many photos, the first by the hash of the name."},
    ),
    "workers": ("--workers", {"type": POSITIVE, "help": WORKERS_HELP}),
    "ray": ("--ray", {"metavar": RAY_METAVAR, "help": RAY_HELP}),
    "fresh": (
        "--fresh",
        {"is_flag": True, "help": "Measure everything again, and delete FILE.records.jsonl first."},
    ),
    "json": (
        "--json",
        {
            "type": PATH,
            "metavar": "FILE",
            "help": "Write all figures there, and beside it a page (.html), a table (.csv) and the records "
            "(.records.jsonl) from which the next run resumes.",
        },
    ),
}
"""For each key, the flag and its attributes for click."""

PASSED_AS = {"--methods": "chosen", "--json": "json_path", "--all": "every"}
"""The names of arguments for flags, if they differ."""

RUN = ("limit", "workers", "ray", "fresh", "json")
CAPTIONER = ("data", "split", "captioner")
CLASSIFIER = ("data", "classifier", "weights")


@dataclass(frozen=True)
class TaskCommand:
    """One task of `gazeback evaluate`.

    Attributes:
        task: the class, as `module:Class` below `gazeback.eval`; it takes the options by name.
        options: keys of `OPTIONS`; those of every run (`RUN`) follow.
        help: the question of the task, and how it is answered.
        defaults: by flag, if they differ from those in `OPTIONS`.
    """

    task: str
    options: tuple[str, ...]
    help: str
    defaults: Mapping[str, str] = field(default_factory=dict)

    def command(self, name: str) -> click.Command:
        """Make the click command."""
        params: list[click.Parameter] = [_option(key, self.defaults) for key in (*self.options, *RUN)]
        return click.Command(name, params=params, callback=self.run, help=cleandoc(self.help))

    def run(
        self,
        json_path: Path | None,
        workers: int | None,
        ray: str | None,
        fresh: bool,
        settings: Path | None = None,
        **options: Any,
    ) -> None:
        """Import the task and run it."""
        from gazeback.eval.harness.run import run_task

        module, _, cls = self.task.partition(":")
        if settings is not None:
            options["part"] = "report"
        task = getattr(import_module(f"gazeback.eval.{module}"), cls)(**options)
        run_task(task, json_path, Workers(workers, ray), fresh, settings)


def _option(key: str, defaults: Mapping[str, str]) -> click.Option:
    flag, attributes = OPTIONS[key]
    changed = {"default": defaults[flag]} if flag in defaults else {}
    names = [flag, *([PASSED_AS[flag]] if flag in PASSED_AS else [])]
    return click.Option(names, show_default=not attributes.get("is_flag"), **(attributes | changed))


TASKS = {
    "phrases": TaskCommand(
        "tasks.phrases:PhrasesTask",
        (*CAPTIONER, "methods", "part"),
        """Do a word's pixels lie where the word is?

        Ground-truth sentences with boxes or masks for their phrases (flickr8k, or COCO's captions and
        instances): the pointing game, the energy inside, the swap test, which asks whether a map depends
        on the word, and how well the map covers the boxes or masks.
        """,
        {"--methods": "evidence,fixations,center,activation,grad-cam"},
    ),
    "generated": TaskCommand(
        "tasks.generated:GeneratedTask",
        (*CAPTIONER, "methods", "tuned part", "settings"),
        """Are the words of generated captions where the captioner points?

        Words of generated captions are matched with the boxes of things that people name; F1 as in
        ActivityNet-Entities.
        """,
        {"--methods": "evidence,fixations,center,activation,grad-cam"},
    ),
    "removal": TaskCommand(
        "tasks.removal:RemovalTask",
        (*CAPTIONER, "methods", "part"),
        """Does a generated word disappear without its pixels?

        The strongest 10 and 20 % of a word's map are blurred and the photo is captioned again: how often is
        the word gone, and the other words? For comparison, as much is blurred at random, in the middle, and
        where other maps point.
        """,
        {"--methods": "evidence,grad-cam,center,activation"},
    ),
    "words": TaskCommand(
        "tasks.words:WordsTask",
        (*CAPTIONER, "part"),
        """Which words need the picture?

        The visual share of function words, nouns, colours and verbs in -ing in ground-truth sentences, and
        by their position in the sentence.
        """,
    ),
    "support": TaskCommand(
        "tasks.support:SupportTask",
        (*CAPTIONER, "part"),
        """Which generated words are true, and can one tell?

        The area under the ROC curve of support, of log probability, entropy and visual, and of statistics of
        a word's map: words in references, nouns in phrases with boxes, and COCO's objects (CHAIR). How well
        support is calibrated.
        """,
    ),
    "preceding": TaskCommand(
        "tasks.preceding:PrecedingTask",
        (*CAPTIONER, "part"),
        """Which measure says best how much an earlier word matters to a word?

        Rank correlations with the effect of leaving out the earlier word: of the exact contributions, of
        gradient times embedding, and of the distance between the words.
        """,
    ),
    "captions": TaskCommand(
        "tasks.captions:CaptionsTask",
        (*CAPTIONER, "part"),
        """How good are the captions?

        BLEU, ROUGE, CIDEr, METEOR (if nltk's wordnet is there), perplexity, the numbers of different
        captions and words, and the coverage of people's vocabulary; beside captions that are the same for
        every photo.
        """,
    ),
    "localization": TaskCommand(
        "tasks.localization:LocalizationTask",
        (*CLASSIFIER, "methods", "coco split", "tuned part", "settings"),
        """Do a classifier's boxes and maps find the object?

        Photos with a class and boxes, or COCO's instances, where the question is the class that covers most:
        GT-known localization, the top-1 localization error, the pointing game, the energy inside the boxes,
        and whether the maps depend on the class asked for.
        """,
        {"--methods": "evidence,fixations"},
    ),
    "confidence": TaskCommand(
        "tasks.confidence:ConfidenceTask",
        (*CLASSIFIER, "methods", "coco split", "tuned part", "settings"),
        """Does the classifier need what a map points at, and is it enough?

        The confidence in the predicted class when only a map's box is kept, when pixels are deleted or
        inserted in the map's order, and when the most relevant 30 % are occluded.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "adversarial": TaskCommand(
        "tasks.adversarial:AdversarialTask",
        (*CLASSIFIER, "methods", "coco split", "part"),
        """Does the evidence move when a changed photo fools the classifier?

        DeepFool on photos whose class is predicted correctly: the energy inside the object's boxes and the
        maps' rank correlation, before and after.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "robustness": TaskCommand(
        "tasks.robustness:RobustnessTask",
        (*CLASSIFIER, "methods", "coco split", "part"),
        """Do the maps change when the photo is corrupted?

        Blur, noise and JPEG, two levels of each: the rank correlation with the clean photo's map, and the
        change of the energy inside the object's boxes and of the pointing game.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "sanity": TaskCommand(
        "tasks.sanity:SanityTask",
        (*CLASSIFIER, "methods", "coco split", "part"),
        """Do the maps change when the network's weights or the class change?

        The similarity to the trained network's map when the layers are shuffled from the output down, and
        of two classes' maps; with evidence among the methods also two identities of the bundled captioner.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "sketch": TaskCommand(
        "tasks.sketch:SketchTask",
        (*CLASSIFIER, "methods", "part", "every sketch"),
        """Is the evidence for a drawing on its strokes?

        A folder with one folder of sketches per class. Only sketches that training holds out are measured;
        with --all, every one, for a folder of test sketches.
        """,
        {"--model": "sketch", "--methods": "evidence,fixations,grad-cam"},
    ),
    "scenes": TaskCommand(
        "scenes.task:ScenesTask",
        ("scenes", "methods"),
        """Do a word's pixels lie on the thing that it names, to the pixel?

        Drawn scenes with exact masks for words: pointing, energy, IoU and the swap test by kind of word, and
        how far the picture decides each kind. No data is needed; --limit is the number of scenes.
        """,
        {"--methods": "evidence,fixations,grad-cam,saliency"},
    ),
    "pointing": TaskCommand(
        "tasks.pointing:PointingTask",
        (*CLASSIFIER, "methods", "coco split", "part"),
        """Is the maximum of a class's map on an object of that class?

        The pointing game with its tolerance of 15 pixels, on all objects and on the difficult ones; and how
        often the map of a class that is not in the photo hits. Photos with a class and boxes, or COCO's
        instances.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "saliency": TaskCommand(
        "tasks.saliency:SaliencyTask",
        (*CLASSIFIER, "methods", "coco split", "tuned part", "settings"),
        """Do the maps of the predicted class cover the object?

        Pixel precision at equal error rate by category; accuracy, precision, recall, F, IoU at one
        threshold; the mean absolute error. A folder of images/ and masks/, photos with boxes, or COCO's
        instances.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "proposals": TaskCommand(
        "tasks.proposals:ProposalsTask",
        (*CLASSIFIER, "methods", "coco split", "tuned part", "settings"),
        """Does a box for the predicted class contain an object of any class?

        One box per image; mean recall and precision over the categories. COCO's instances, or photos with
        boxes.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "errors": TaskCommand(
        "tasks.errors:ErrorsTask",
        (*CLASSIFIER, "methods", "part"),
        """What does the classifier look at when it is wrong?

        Compares the maps of the predicted and the true class; with --json also a gallery of the mistakes
        (FILE-gallery.html). Photos with a class and boxes, or a folder of images for each class.
        """,
        {"--methods": "evidence,fixations,grad-cam"},
    ),
    "flowers": TaskCommand(
        "flowers.task:FlowersTask",
        ("kind", "flowers", "methods"),
        """Do a classifier's maps cover the part of a flower whose colour is the class?

        Drawn flowers with exact masks, similar to an8Flower: the area under the curve of the IoU over
        thresholds. Settings are chosen on other flowers than the reported ones; filter, activation, center
        and image are added. No data is needed.
        """,
        {
            "--methods": "evidence,guided-backprop-resampled,guided-backprop,deconvnet-resampled,deconvnet,"
            "grad-cam,fixations"
        },
    ),
}


@click.group()
def evaluate() -> None:
    """Measure how good captions and explanations are."""


for _name, _task in TASKS.items():
    evaluate.add_command(_task.command(_name))


@evaluate.command(
    params=[
        click.Option(["--data"], type=PATH, help="Photos with captions: measure the captioner."),
        *(_option(key, {}) for key in ("split", "limit", "captioner")),
        click.Option(
            ["--method"], default="evidence", show_default=True, help="Captioner: the tracer's method."
        ),
        click.Option(
            ["--networks"], metavar="A,B", help="Names of keras.applications, when there is no --data."
        ),
        click.Option(["--batch"], default="1,16", show_default=True, help="Networks: sizes of the batches."),
        click.Option(
            ["--methods"],
            default="evidence,fixations,saliency",
            show_default=True,
            help="Networks: the methods that are timed.",
        ),
        click.Option(
            ["--memory"], is_flag=True, help="Networks: measure the peak memory instead of the time."
        ),
        click.Option(["--rounds"], type=POSITIVE, default=5, show_default=True, help="Rounds of each."),
        click.Option(["--json", "json_path"], type=PATH, help="Write all figures to this file."),
    ]
)
def speed(
    data: Path | None, split: str, limit: int | None, model: str | None, method: str, networks: str | None,
    batch: str, methods: str, memory: bool, rounds: int, json_path: Path | None,
) -> None:  # fmt: skip
    """How much time and memory does it take?

    The figures are ratios of times in one process. With --data: grounding to captioning and to a forward
    pass, one photo at a time, ten photos unless --limit is given. Without: methods on networks with random
    weights to their compiled forward pass.
    """
    check_tensorflow("gazeback evaluate speed")
    from gazeback.eval.speed.command import run_networks, run_speed

    if data is None:
        run_networks(networks, batch, methods, memory, rounds, json_path)
    else:
        run_speed(data, split, limit, model, method, rounds, json_path)


@evaluate.command()
@click.argument("results", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, help="The Markdown file to write.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Copy the results, without their images, into this folder, and make the document from there.",
)
def report(results: tuple[Path, ...], out: Path, keep: Path | None) -> None:
    """Collect RESULTS, files that --json wrote, in one document.

    The text of NAME.md beside NAME.json is added below its tables.
    """
    from gazeback.eval.harness.report import check_names, document, kept
    from gazeback.eval.harness.run import write_text

    check_output(out, "--out", ".md")
    check_names(results)
    write_text(out, document(results if keep is None else [kept(path, keep) for path in results]))


@click.command()
@click.option(
    "--data",
    type=PATH,
    required=True,
    help="Photos with classes and boxes: images/, annotations.json, class_names.json.",
)
@click.option("--out", type=PATH, required=True, help="The .json file to write.")
@click.option("--model", default="efficientnet-lite0", show_default=True, help="A classifier: name or FILE.")
@click.option("--weights", metavar="FILE", help="The classifier's weights, if they are not bundled.")
@click.option("--rounds", type=COUNT, default=160, show_default=True, help="Photos traced.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the photos' order.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def discernible(out: Path, as_json: bool, **options: Any) -> None:
    """Learn the weights of the tracing method "discernible" on photos with boxes.

    A bandit (UCB1) tries ratios of the weights; a box with an IoU of 0.5 or more with a true box earns a
    reward. Only the tune part of the photos is used.
    """
    from gazeback.eval.train_discernible import train_discernible

    if out.suffix != ".json":
        raise UserError(f"--out {out}: expected a file that ends in .json")
    result = train_discernible(out=out, **options)
    suc, cur, pre = result["alphas"]
    sentence = (
        f"{out}: succeeding {suc:g}, current {cur:g}, preceding {pre:g}, after {result['rounds']} rounds"
    )
    click.echo(json_text(result) if as_json else sentence)
