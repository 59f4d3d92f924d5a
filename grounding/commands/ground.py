"""`gazeback ground`: captions for photos, and for each word the pixels it came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gazeback.grounding.outputs import check_folder, unique_stems, write_outputs
from gazeback.models import scenes
from gazeback.models.errors import ModelError, PhotoError, UserError

if TYPE_CHECKING:
    from gazeback.grounding.words import Grounding
    from gazeback.models.captioner import Captioner
    from gazeback.models.photos import Photo

METHODS = ("evidence", "fixations", "top", "discernible")


@dataclass(frozen=True)
class Settings:
    """How to ground; None stands for the default of `gazeback.grounding.ground`."""

    model: str | None = None
    caption: str | None = None
    method: str | None = None
    methods: str | None = None
    preceding: bool = False
    beam: int | None = None
    share: float | None = None

    def check(self) -> None:
        """Raise UserError for what cannot work, before anything is loaded."""
        if self.beam is not None and self.beam < 1:
            raise UserError(f"--beam: expected a width of 1 or more, got {self.beam}")
        if self.share is not None and not 0 < self.share <= 1:
            raise UserError(f"--share: expected a share above 0 and at most 1, got {self.share:g}")
        if self.method is not None and self.method not in METHODS:
            raise UserError(f"--method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        if self.method is not None and self.methods is not None:
            raise UserError(
                "--method is one method and --methods are several to compare: give one of the two"
            )
        if self.caption is not None and not any(letter.isalnum() for letter in self.caption):
            raise UserError(f"--caption: expected at least one word, got {self.caption!r}")
        if self.model is not None:
            check_model(self.model)
        if self.methods is not None:
            from gazeback.grounding.words import compared  # brings TensorFlow: seconds

            compared(self.named_methods)

    @property
    def named_methods(self) -> tuple[str, ...]:
        """What stands between the commas of --methods."""
        return tuple(name.strip() for name in (self.methods or "").split(",") if name.strip())

    def load(self) -> "Captioner":
        from gazeback.models import load_captioner  # brings TensorFlow: seconds

        return load_captioner(self.model)

    def ground(self, captioner: "Captioner", photo: "Photo") -> "Grounding":
        """Raises PhotoError for a photo that has no grounding; others may still have one."""
        from gazeback.grounding import ground

        options: dict[str, Any] = {"method": self.method, "beam": self.beam, "share": self.share}
        given = {name: value for name, value in options.items() if value is not None}
        if self.methods is not None:
            given["methods"] = self.named_methods
        if self.preceding:
            given["preceding"] = True
        try:
            return ground(captioner, photo, self.caption, **given)
        except UserError as error:
            raise PhotoError(str(error)) from None


def check_model(model: str) -> None:
    """A missing file is told at once; what is in it, the loader sees."""
    path = Path(model)
    if path.is_file() or model in scenes.HEADS:
        return
    problem = "a folder" if path.is_dir() else "no such file"
    raise ModelError(
        f"--model {model}: {problem}; give a FILE.keras made by `gazeback train captioner`, "
        "or leave the option out for the bundled captioner"
    )


@click.command(short_help="Caption photos and show which pixels each word came from.")
@click.argument("photos", nargs=-1, metavar="[PHOTO]...")
@click.option("--caption", metavar="TEXT", help="Explain this caption instead of a generated one.")
@click.option("--model", metavar="FILE", help="A captioner from `gazeback train captioner`, or scenes-gap.")
@click.option("--method", metavar="METHOD", help="evidence (the default), fixations, top or discernible.")
@click.option("--methods", metavar="M,...", help="Several side by side: these and installed ones.")
@click.option(
    "--preceding", is_flag=True,
    help="Also measure what the words before matter by leaving each out, and by the gradient.",
)  # fmt: skip
@click.option("--beam", type=int, metavar="N", help="Width of the beam search.")
@click.option("--share", type=float, metavar="P", help="Share of the evidence that is traced to pixels.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="gazeback-out", show_default=True, metavar="DIR",
    help="Folder for the pages, figures and JSON files.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line per photo, instead of text.")
@click.option("--coco", type=click.Path(path_type=Path), metavar="DIR", help="Ground a COCO split's images.")
@click.option("--annotations", type=click.Path(path_type=Path), metavar="FILE", help="Its captions JSON.")
@click.option(
    "--instances", type=click.Path(path_type=Path), metavar="FILE",
    help="Its instances JSON: outlines of what a word names are drawn over the evidence.",
)  # fmt: skip
@click.option("--limit", type=int, metavar="N", help="Only the first N images of the split.")
@click.pass_context
def ground(
    ctx: click.Context, photos: tuple[str, ...], out: Path, as_json: bool, coco: Path | None,
    annotations: Path | None, instances: Path | None, limit: int | None, **how: Any,
) -> None:  # fmt: skip
    """Caption each PHOTO and show which pixels each word came from.

    Without PHOTO: an example photo. Each photo gets a page (HTML), a figure (PNG) and a JSON file.

    With --coco DIR --annotations FILE: all images of a COCO split, a COCO results file and an index page. A
    second run with the same settings goes on where the first stopped.
    """
    settings = Settings(**how)
    settings.check()
    check_folder(out)
    if coco is None:
        if annotations or instances or limit is not None:
            raise UserError("--annotations, --instances and --limit belong to --coco DIR, which is missing")
        if not ground_photos(photos, settings, out, as_json):
            ctx.exit(2)
    else:
        from gazeback.grounding.commands.ground_coco import ground_coco

        if photos or settings.caption is not None:
            raise UserError(
                "--coco takes its photos from a folder and generates captions: no PHOTO, no --caption"
            )
        ground_coco(coco, annotations, instances, limit, settings, out, as_json)


def ground_photos(photos: tuple[str, ...], settings: Settings, out: Path, as_json: bool) -> bool:
    """Ground and write each photo; a bad one is named and passed over. Returns whether all were good."""
    from gazeback.grounding.commands.terminal import print_grounding, print_json, screen
    from gazeback.grounding.results import grounding_to_json
    from gazeback.models.photos import bundled_photo, load_photo

    sources = photos or (str(bundled_photo()),)
    captioner, all_good = None, True
    with screen(len(sources)) as shown:
        for source, stem in zip(sources, unique_stems(sources), strict=True):
            try:
                photo = load_photo(source)
                if captioner is None:  # only now: a bad photo alone is told at once
                    with shown.loading("Loading the captioner ..."):
                        captioner = settings.load()
                grounding = settings.ground(captioner, photo)
                paths = write_outputs(grounding, out, stem)
                with shown.paused():
                    if as_json:
                        print_json(grounding_to_json(grounding))
                    else:
                        print_grounding(grounding, paths["html"])
            except PhotoError as error:
                shown.mistake(error)
                all_good = False
            shown.advance()
    return all_good
