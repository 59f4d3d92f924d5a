"""The files of one explained photo, and names for them that never collide."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.models.errors import UserError

if TYPE_CHECKING:
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.grounding.report import Outlines
    from gazeback.grounding.words import Grounding


def write_outputs(
    grounding: "Grounding", folder: Path, stem: str, outlines: "Outlines | None" = None
) -> dict[str, Path]:
    """Write `STEM.html`, `STEM.png` and `STEM.json` into `folder`, which is made if need be.

    Each file appears whole, the JSON last: where it is, the other two are too. `outlines`: word index ->
    polygons [[x, y], ...] in photo pixels, drawn over that word's evidence. Returns the paths by their kind:
    html, png, json. Raises UserError where the folder cannot be written to.
    """
    # Imported here as they bring Jinja2 and Matplotlib, which the command's help can do without.
    from gazeback.grounding.figure import write_figure
    from gazeback.grounding.report import write_page
    from gazeback.grounding.results import write_json

    paths = {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_page(grounding, paths["html"], outlines=outlines)
        write_figure(grounding, paths["png"], outlines=outlines)
        write_json(grounding, paths["json"])
    return paths


def write_traced(
    traced: "TracedPhoto", folder: Path, stem: str, layers: Sequence[str] = ()
) -> dict[str, Path]:
    """Write `STEM.html`, `STEM.png` and `STEM.json` of a classifier's answers, as `write_outputs` does.

    With `layers` also `STEM-layers.png`: where the first target's walk passed them (kind: layers). Raises
    UserError where the folder cannot be written to, TraceError for a layer that was not passed.
    """
    from gazeback.grounding.classes_figure import write_traced_figure
    from gazeback.grounding.classes_page import write_traced_page
    from gazeback.grounding.classes_results import write_traced_json
    from gazeback.grounding.drawing import write_png

    paths = {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}
    at_layers = traced.plot_layers(layers) if layers else None
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if at_layers is not None:
            paths["layers"] = write_png(at_layers, folder / f"{stem}-layers.png")
        write_traced_page(traced, paths["html"])
        write_traced_figure(traced, paths["png"])
        write_traced_json(traced, paths["json"])
    return paths


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raises UserError where the operating system refuses: no permission, no space, something in the way."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror or error})") from None


def check_folder(folder: Path) -> None:
    """Raise UserError if `folder` cannot be made or written to; leaves no trace."""
    with writing_to(folder):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir():
            raise UserError(f"{folder}: cannot be the output folder, as {existing} is a file")
        with tempfile.TemporaryFile(dir=existing):  # a permission bit does not tell of read-only file systems
            pass


def unique_stems(names: Sequence[str]) -> list[str]:
    """The names without their endings; where two would be equal on any file system, the later get -2, -3, ...

    >>> unique_stems(["a/dog.jpg", "b/Dog.png", "cat.jpg"])
    ['dog', 'Dog-2', 'cat']
    """
    wanted = [Path(name).stem or "photo" for name in names]
    taken: set[str] = set()
    # A name that some photo has of its own is not given to another.
    own = {stem.casefold() for stem in wanted}
    stems = []
    for stem in wanted:
        unique, number = stem, 1
        while unique.casefold() in taken or (number > 1 and unique.casefold() in own):
            number += 1
            unique = f"{stem}-{number}"
        taken.add(unique.casefold())
        stems.append(unique)
    return stems
