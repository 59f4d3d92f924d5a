"""Write files atomically, under names that never collide."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gazeback.models.errors import UserError


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to a temporary name beside ``path``, then move it there in one step.

    A reader sees the old file or the whole new one, even if the process is killed in between.

    Returns:
        ``path`` as a `Path`.

    Raises:
        OSError: the folder does not exist or is not writable; ``path`` is then unchanged.
    """
    target = Path(path)
    # not tempfile, whose files are private (0600) and would stay private after the move
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, on disk before this returns. After a line that was cut off when a process was
    killed, it begins a new one. Raises `OSError`."""
    with path.open("ab+") as file:
        cut_off = file.tell() and not _ends_with_newline(file)
        file.write(("\n" * cut_off + line + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def _ends_with_newline(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system in this context into UserError: no permission, no space."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror or error})") from None


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
    stems = []
    for stem in wanted:
        unique, number = stem, 1
        while unique.casefold() in taken or (number > 1 and unique.casefold() in own):
            number += 1
            unique = f"{stem}-{number}"
        taken.add(unique.casefold())
        stems.append(unique)
    return stems
