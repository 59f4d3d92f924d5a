"""The command `gazeback ground --coco`: ground a COCO split and print a summary."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gazeback.grounding.coco.annotations import read_instances
from gazeback.grounding.coco.render import GroundImages
from gazeback.grounding.coco.run import CocoRun, Item, Rendered, Summary
from gazeback.grounding.commands.ending import finish
from gazeback.grounding.commands.terminal import Screen, screen
from gazeback.grounding.workers import Workers, answered
from gazeback.models.captions_file import read_captions_file
from gazeback.models.contents import file_digest, versions
from gazeback.models.errors import DataError, UserError
from gazeback.models.writing import json_text

if TYPE_CHECKING:
    from gazeback.grounding.commands.settings import Settings
    from gazeback.models.caption_generator import CaptionGenerator

NEXT_STEPS = "the same command with another method (--method fixations) and another --out"

NAMED = 5  # file names in a summary line


def ground_coco(
    images_dir: Path, annotations: Path | None, instances: Path | None, limit: int | None,
    settings: "Settings", workers: Workers, out: Path, as_json: bool, open_it: bool = False,
) -> None:  # fmt: skip
    """Ground a split and print a summary; an image that cannot be read is not a failure.

    Raises UserError if no image could be grounded.
    """
    if annotations is None:
        raise UserError("--coco DIR needs --annotations FILE: COCO captions, which list the images")
    if limit is not None and limit < 1:
        raise UserError(f"--limit: expected 1 image or more, got {limit}")
    workers.check()
    run = _run(images_dir, annotations, instances, settings, out)
    items = run.items[:limit]
    if not any(run.photo(item).is_file() for item in items):
        raise DataError(f"--coco {images_dir}: holds none of the {len(items)} images of {annotations}")
    with screen(len(items)) as shown:
        summary = _ground_all(run, items, settings, workers, shown)
    if not summary.grounded:
        raise DataError(f"--coco {images_dir}: none of the {len(items)} images could be grounded")
    run.assemble(items, summary)
    click.echo(json_text(_as_json(summary))) if as_json else _tell(summary)
    finish(run.out / "index.html", NEXT_STEPS, as_json, open_it)


def _run(
    images_dir: Path, annotations: Path, instances: Path | None, settings: "Settings", out: Path
) -> CocoRun:
    """The run over a split. It keeps the photos' names, and nothing else of `annotations`."""
    split = read_captions_file(annotations)
    found = read_instances(instances, split.images) if instances else None
    return CocoRun(images_dir, split, found, out, _identity(settings, images_dir, annotations, instances))


def _ground_all(
    run: CocoRun, items: list[Item], settings: "Settings", workers: Workers, shown: Screen
) -> Summary:
    job = GroundImages(settings, run.images_dir, run.instances)

    def load() -> "CaptionGenerator":  # not needed if nothing is left to do
        with shown.loading("Loading the captioner ..."):
            return job.load()

    def rendered(batches: Sequence[Sequence[Item]]) -> Iterator[Rendered | UserError]:
        return (one for _, answers in answered(job, batches, workers, load) for one in answers)

    return run.run(items, rendered, shown.mistake, shown.advance)


def _identity(
    settings: "Settings", images_dir: Path, annotations: Path, instances: Path | None
) -> dict[str, Any]:
    """The settings that must be equal for all runs into one folder."""
    return {
        **versions(),
        "images": str(images_dir.resolve()),
        "annotations": file_digest(annotations),
        "instances": file_digest(instances) if instances else None,
        "model": settings.model_key(),
        "method": settings.method,
        "methods": settings.methods,
        "preceding": settings.preceding,
        "beam": settings.beam,
        "share": settings.share,
        "looks": settings.looks,
    }


def _as_json(summary: Summary) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()}


def _tell(summary: Summary) -> None:
    kept = f" ({summary.kept} of them before)" if summary.kept else ""
    click.echo(f"Grounded {summary.grounded} of {summary.images} images{kept}.")
    for what, names in (("Missing", summary.missing), ("Not readable", summary.bad)):
        if names:
            more = ", ..." if len(names) > NAMED else ""
            click.echo(f"{what}: {len(names)} ({', '.join(names[:NAMED])}{more})")
    for what, dangling, unknown in (
        ("Captions", summary.caption_strays, "image"),
        ("Instances", summary.instance_strays, "image or category"),
    ):
        if dangling:
            click.echo(f"{what} that refer to no known {unknown}, left out: {dangling}")
    click.echo(f"Results: {summary.results}")
    click.echo(f"Boxes: {summary.boxes}")
    click.echo(f"Index: {summary.index}")
