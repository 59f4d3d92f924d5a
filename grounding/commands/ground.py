"""The command `gazeback ground`: caption photos and show which pixels each word came from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gazeback.grounding.commands.ending import finish
from gazeback.grounding.commands.settings import Settings
from gazeback.grounding.output.files import check_folder, unique_stems
from gazeback.grounding.output.writer import outputs_of, write_outputs
from gazeback.grounding.workers import RAY_HELP, RAY_METAVAR, WORKERS_HELP, Workers
from gazeback.models.errors import UserError
from gazeback.models.number_options import COUNT
from gazeback.models.writing import keep_apart

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.grounding.commands.terminal import Screen

NEXT_STEPS = (
    'your own photo (gazeback ground PHOTO.jpg), your own words (--caption "a dog on a beach"), '
    "or two methods (--methods evidence,grad-cam)"
)


EXAMPLES = ("camera.png", "chelsea.png")
"""Two photos of scikit-image (CC0): one that the bundled captioner describes well, and one of a kind that it
does not know. They were chosen by its captions of nine photos of installed packages."""


@click.command(short_help="Caption photos and show which pixels each word came from.")
@click.argument("photos", nargs=-1, metavar="[PHOTO]...")
@click.option("--caption", metavar="TEXT", help="Explain this caption instead of a generated one.")
@click.option(
    "--model",
    metavar="NAME|FILE",
    help="A captioner's FILE.keras, your own package.module:function, or scenes-gap.",
)
@click.option(
    "--method", metavar="METHOD", help="evidence (the default), fixations, top, discernible or walk."
)
@click.option("--methods", metavar="M,...", help="Compare several: these and installed ones.")
@click.option(
    "--preceding", is_flag=True,
    help="Also measure how much earlier words matter, by leaving each out, and by the gradient.",
)  # fmt: skip
@click.option("--beam", type=int, metavar="N", help="Width of the beam search.")
@click.option("--share", type=float, metavar="P", help="Fraction of the evidence that is traced to pixels.")
@click.option(
    "--looks", type=int, metavar="N", help="2: read the photo at twice the size, too; slower, finer."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="gazeback-out", show_default=True, metavar="DIR",
    help="Folder for the pages, figures and JSON files.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line per photo, instead of text.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
@click.option("--coco", type=click.Path(path_type=Path), metavar="DIR", help="Ground a COCO split's images.")
@click.option("--annotations", type=click.Path(path_type=Path), metavar="FILE", help="Its captions JSON.")
@click.option(
    "--instances", type=click.Path(path_type=Path), metavar="FILE",
    help="Its instances JSON: draw the outlines of the things that words name.",
)  # fmt: skip
@click.option("--limit", type=int, metavar="N", help="Only the first N images of the split.")
@click.option("--workers", type=COUNT, metavar="N", help=WORKERS_HELP)
@click.option("--ray", metavar=RAY_METAVAR, help=RAY_HELP)
@click.pass_context
def ground(
    ctx: click.Context, photos: tuple[str, ...], out: Path, as_json: bool, open_it: bool,
    coco: Path | None, annotations: Path | None, instances: Path | None, limit: int | None,
    workers: int | None, ray: str | None, **how: Any,
) -> None:  # fmt: skip
    """Caption each PHOTO and show which pixels each word came from.

    Without PHOTO: two examples, a right caption and a wrong one; with --caption, the first of them. Each
    photo gets a page (HTML), a figure (PNG) and a JSON file.

    With --coco DIR --annotations FILE: all images of a COCO split, a COCO results file and an index page. A
    run that was stopped resumes if it is started again with the same settings.
    """
    settings = Settings(**how)
    settings.check()
    check_folder(out)
    if coco is None:
        of_split = {"annotations": annotations, "instances": instances, "limit": limit, "workers": workers}
        given = [f"--{name}" for name, value in {**of_split, "ray": ray}.items() if value is not None]
        if given:
            raise UserError(f"{', '.join(given)}: belongs to --coco DIR, which is missing")
        if not ground_photos(photos, settings, out, as_json, open_it):
            ctx.exit(2)
    else:
        from gazeback.grounding.commands.ground_coco import ground_coco

        if photos or settings.caption is not None:
            raise UserError(
                "--coco takes its photos from a folder and generates captions: no PHOTO, no --caption"
            )
        where = Workers(workers, ray)
        ground_coco(coco, annotations, instances, limit, settings, where, out, as_json, open_it)


def ground_photos(
    photos: tuple[str, ...], settings: Settings, out: Path, as_json: bool, open_it: bool = False
) -> bool:
    """Ground and write each photo; a bad photo is named and skipped. Returns whether all were good."""
    from gazeback.grounding.commands.terminal import print_grounding, print_json, screen
    from gazeback.grounding.output.results import to_json
    from gazeback.models.photos import bundled_photo

    examples = EXAMPLES if settings.caption is None else EXAMPLES[:1]
    sources = photos or tuple(str(bundled_photo(name)) for name in examples)
    stems = unique_stems(sources)
    keep_apart(sources, (path for stem in stems for path in outputs_of(out, stem).values()))
    pages = []
    with screen(len(sources)) as shown:
        for found, stem in zip(_groundings(sources, settings, shown), stems, strict=True):
            if isinstance(found, UserError):
                shown.mistake(found)
            else:
                paths = write_outputs(found, out, stem)
                with shown.paused():
                    print_json(to_json(found)) if as_json else print_grounding(found, paths["html"])
                pages.append(paths["html"])
            shown.advance()
    if pages:
        finish(pages[0], NEXT_STEPS, as_json, open_it)
    return len(pages) == len(sources)


def _groundings(
    sources: Sequence[str], settings: Settings, shown: "Screen"
) -> "Iterator[Grounding | UserError]":
    """Yield the grounding of each photo in its order, or why there is none."""
    from gazeback.models.photos import Photo, load_batches

    captioner = None
    for batch in load_batches(sources):
        good = [photo for photo in batch if isinstance(photo, Photo)]
        if good and captioner is None:  # after photos are checked, so that a bad one is reported at once
            with shown.loading("Loading the captioner ..."):
                captioner = settings.load()
        found = settings.ground_batch(captioner, good) if captioner and good else iter(())
        for photo in batch:
            yield next(found) if isinstance(photo, Photo) else photo
