"""Where results are written: folders, and names that never collide."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from gazeback.models.errors import UserError
from gazeback.models.writing import writing_to


def check_folder(folder: Path) -> None:
    """Raise UserError if `folder` cannot be made or written to; nothing is written."""
    with writing_to(folder):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir():
            raise UserError(f"{folder}: cannot be the output folder, as {existing} is a file")
        with tempfile.TemporaryFile(dir=existing):  # permission bits do not show read-only file systems
            pass


def unique_stems(names: Sequence[str]) -> list[str]:
    """The names without their endings; if two would be equal on some file system, the later ones get -2, -3,
    ...

    >>> unique_stems(["a/dog.jpg", "b/Dog.png", "cat.jpg"])
    ['dog', 'Dog-2', 'cat']
    """
    wanted = [Path(name).stem or "photo" for name in names]
    taken: set[str] = set()
    # The own name of a photo is not given to another photo.
    own = {stem.casefold() for stem in wanted}
    numbers: dict[str, int] = {}
    stems = []
    for stem in wanted:
        unique, number = stem, numbers.get(stem, 1)
        while unique.casefold() in taken or (number > 1 and unique.casefold() in own):
            number += 1
            unique = f"{stem}-{number}"
        numbers[stem] = number
        taken.add(unique.casefold())
        stems.append(unique)
    return stems
