"""The command `gazeback trace`: classify photos and show which pixels each class came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gazeback.grounding.commands.ending import finish
from gazeback.grounding.output.files import check_folder, unique_stems
from gazeback.grounding.output.writer import outputs_of, write_outputs
from gazeback.models.errors import PhotoError, UserError
from gazeback.models.writing import keep_apart, writing_to

if TYPE_CHECKING:
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.models.classifiers import Classifier
    from gazeback.models.photos import Photo

DEFAULT_MODEL = "efficientnet-lite0"  # its weights come with the package
KNOWN_WEIGHTS, RANDOM = "imagenet", "random"
INDEX = "index.html"
ARRAY = ".npy"
NEXT_STEPS = (
    'your own photo (gazeback trace PHOTO.jpg), another class (--target "football helmet"), '
    "or three methods (--methods evidence,fixations,grad-cam)"
)


@dataclass(frozen=True)
class Settings:
    """Settings of `gazeback trace`: the classifier and its targets."""

    model: str
    weights: str | None
    preprocessing: str | None
    targets: tuple[str, ...]
    layer: str | None
    methods: tuple[str, ...]
    top: int

    def check(self) -> None:
        """Raise UserError for settings that cannot work, before a model is loaded."""
        if self.top < 1:
            raise UserError(f"--top: expected 1 class or more, got {self.top}")
        from gazeback.grounding.methods import check_methods  # brings TensorFlow: seconds

        check_methods(self.methods)

    def load(self) -> "Classifier":
        """Load the classifier; raises UserError if it is missing or does not have the classes."""
        from gazeback.models import load_classifier

        weights = None if self.weights == RANDOM else self.weights or KNOWN_WEIGHTS
        classifier = load_classifier(self.model, weights, preprocessing=self.preprocessing)
        if self.layer is None:
            for target in self.targets:
                classifier.class_index(target)
        return classifier

    def trace(self, classifier: "Classifier", photo: "Photo") -> "TracedPhoto":
        from gazeback.grounding.classes import parse_neuron, trace_photo

        targets = self.targets if self.layer is None else [parse_neuron(text) for text in self.targets]
        return trace_photo(classifier, photo, targets, self.methods, layer=self.layer, top=self.top)


@click.command(short_help="Classify photos and show which pixels each class came from.")
@click.argument("photos", nargs=-1, metavar="[PHOTO|FILE.npy]...")
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, metavar="NAME|FILE",
    help="A classifier by name, in a FILE.keras or FILE.h5, or your own package.module:function.",
)  # fmt: skip
@click.option("--weights", metavar="PATH|random", help="The classifier's weights, if it needs a file.")
@click.option(
    "--preprocessing",
    metavar="MODE",
    help="For another program's FILE.keras: tf, torch, caffe, unit or none.",
)
@click.option(
    "--target", "targets", multiple=True, metavar="CLASS",
    help="Also explain this class, by name or number; with --layer a channel, or row,column,channel. "
    "Repeatable.",
)  # fmt: skip
@click.option("--layer", metavar="NAME", help="Start from this layer's strongest neuron, or its --target.")
@click.option(
    "--methods", "--method", default="evidence", show_default=True, metavar="M,...",
    help="evidence, fixations, top, discernible, spread, or an installed one; several to compare them.",
)  # fmt: skip
@click.option(
    "--top", type=int, default=5, show_default=True, metavar="N", help="Explain the N most probable classes."
)
@click.option(
    "--at", "at_layers", multiple=True, metavar="LAYER",
    help="Also draw where the walk passed this layer (STEM-layers.png). Repeatable.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default="gazeback-out", show_default=True, metavar="DIR",
    help="Folder for the pages, figures and JSON files.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line per photo, instead of text.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
@click.pass_context
def trace(
    ctx: click.Context, photos: tuple[str, ...], model: str, weights: str | None, preprocessing: str | None,
    targets: tuple[str, ...], layer: str | None, methods: str, top: int, at_layers: tuple[str, ...],
    out: Path, as_json: bool, open_it: bool,
) -> None:  # fmt: skip
    """Classify each PHOTO and show which pixels each class came from.

    Without PHOTO: an example photo. Each photo gets a page (HTML), a figure (PNG) and a JSON file; several
    photos also get an index page.

    For a model of signals, volumes or frames, name arrays instead, in FILE.npy, with the shape that the model
    reads, without the batch axis. Each gets a figure (PNG) and a JSON file, and no page.
    """
    names = tuple(name.strip() for name in methods.split(",") if name.strip())
    settings = Settings(model, weights, preprocessing, targets, layer, names, top)
    settings.check()
    check_folder(out)
    if any(photo.endswith(ARRAY) for photo in photos):
        photo_only = {
            "--preprocessing": preprocessing, "--weights": weights, "--at": at_layers, "--open": open_it,
        }  # fmt: skip
        check_arrays(photos, photo_only)
        if not trace_arrays(photos, settings, out, as_json):
            ctx.exit(2)
    elif not trace_photos(photos, settings, at_layers, out, as_json, open_it):
        ctx.exit(2)


def trace_photos(
    photos: tuple[str, ...],
    settings: Settings,
    at_layers: tuple[str, ...],
    out: Path,
    as_json: bool,
    open_it: bool = False,
) -> bool:
    """Trace and write each photo; a bad photo is named and skipped. Returns whether all were good."""
    from gazeback.grounding.commands.terminal import screen
    from gazeback.grounding.output.index import index_entry, write_index
    from gazeback.models.photos import bundled_photo, load_photo

    sources = photos or (str(bundled_photo()),)
    stems = unique_stems([INDEX, *sources])[1:]  # reserve the name of the index page
    outputs = (path for stem in stems for path in outputs_of(out, stem, with_layers=True).values())
    keep_apart(sources, (*outputs, out / INDEX))
    classifier, entries, page = None, [], None
    with screen(len(sources), "Tracing") as shown:
        for source, stem in zip(sources, stems, strict=True):
            try:
                photo = load_photo(source)
                if (
                    classifier is None
                ):  # after the photos are checked, so that a bad photo is reported at once
                    with shown.loading("Loading the classifier ..."):
                        classifier = settings.load()
                traced = settings.trace(classifier, photo)
                paths = write_outputs(traced, out, stem, layers=at_layers)
                with shown.paused():
                    _tell(traced, paths, as_json)
                entries.append(index_entry(traced, paths["html"].name))
                page = page or paths["html"]
            except PhotoError as error:
                shown.mistake(error)
            shown.advance()
    if len(entries) > 1:
        with writing_to(out):
            page = write_index(entries, out / INDEX, "Traced photos", "classes")
        if not as_json:
            click.echo(f"Index: {page}")
    if page is not None:
        finish(page, NEXT_STEPS, as_json, open_it)
    return len(entries) == len(sources)


def check_arrays(files: tuple[str, ...], photo_only: dict[str, Any]) -> None:
    """Raise UserError if some files are photos, or for options that only photos have."""
    others = [file for file in files if not file.endswith(ARRAY)]
    if others:
        raise UserError(f"expected only photos or only arrays ({ARRAY}), got {others[0]} among arrays")
    given = [option for option, value in photo_only.items() if value]
    if given:
        raise UserError(f"{', '.join(given)}: belongs to photos; an array ({ARRAY}) is read as it is")


def trace_arrays(files: tuple[str, ...], settings: Settings, out: Path, as_json: bool) -> bool:
    """Trace and write each array; a bad array is named and skipped. Returns whether all were good."""
    from gazeback.grounding.arrays import load_array, trace_array
    from gazeback.grounding.classes import parse_neuron
    from gazeback.grounding.commands.terminal import print_array, print_json, screen
    from gazeback.models.classifiers import load_array_classifier

    targets = settings.targets if settings.layer is None else [parse_neuron(one) for one in settings.targets]
    bad = 0
    with screen(len(files), "Tracing") as shown:
        with shown.loading("Loading the classifier ..."):
            classifier = load_array_classifier(settings.model)
        for file, stem in zip(files, unique_stems(files), strict=True):
            try:
                values = load_array(file, classifier)
            except UserError as error:
                bad += 1
                shown.mistake(error)
            else:
                traced = trace_array(
                    classifier, values, targets, settings.methods, layer=settings.layer, top=settings.top,
                    name=Path(file).name,
                )  # fmt: skip
                paths = traced.save(out, stem)
                with shown.paused():
                    print_json(traced.to_json()) if as_json else print_array(traced, paths["png"])
            shown.advance()
    return not bad


def _tell(traced: "TracedPhoto", paths: dict[str, Path], as_json: bool) -> None:
    from gazeback.grounding.commands.terminal import print_json, print_traced
    from gazeback.grounding.output.results import to_json

    if as_json:
        print_json(to_json(traced))
    else:
        print_traced(traced, paths["html"])
