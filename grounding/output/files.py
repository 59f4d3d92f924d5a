"""The files of one explained photo, and names for them that never collide."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.models.errors import UserError

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.grounding.explanation import Outlines


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to a temporary name beside ``path``, then move it there in one step.

    A reader sees the old file or the whole new one, also when the process is killed in between.

    Returns:
        ``path`` as a `Path`.

    Raises:
        OSError: the folder does not exist or is not writable; ``path`` is then unchanged.
    """
    target = Path(path)
    # not tempfile: its files are private (0600), and would stay so after the move
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def write_outputs(
    grounding: "Grounding", folder: Path, stem: str, outlines: "Outlines | None" = None
) -> dict[str, Path]:
    """Write `STEM.html`, `STEM.png` and `STEM.json` into `folder`, which is made if need be.

    Each file appears whole, the JSON last: where it is, the other two are too. `outlines`: word index ->
    polygons [[x, y], ...] in photo pixels, drawn over that word's evidence. Returns the paths by their kind:
    html, png, json. Raises UserError where the folder cannot be written to.
    """
    # Imported here as they bring Jinja2 and Matplotlib, which the command's help can do without.
    from gazeback.grounding.output.figure import write_figure
    from gazeback.grounding.output.page import write_page
    from gazeback.grounding.output.results import write_json

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
    from gazeback.grounding.output.drawing import write_png
    from gazeback.grounding.output.figure import write_traced_figure
    from gazeback.grounding.output.page import write_traced_page
    from gazeback.grounding.output.results import write_traced_json

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
