"""Write files whole or not at all: under a temporary name, then moved in one step."""

import json
import math
import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gazeback.models.errors import UserError

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, and move what was written there to ``path`` at the end.

    A reader sees the old file or the whole new one, even if the process is killed in between. The name has
    the ending of ``path``. A link stays a link, and its target is written.

    Raises:
        OSError: the folder does not exist or is not writable; ``path`` is then unchanged, as after any error.
    """
    target = Path(os.path.realpath(path))
    # not tempfile, whose files are private (0600) and would stay private after the move
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def together(*paths: Path) -> Iterator[list[Path]]:
    """Yield a temporary name for each path, as `whole` does, and move all files at the end, in this order.

    So all are written, or none.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(whole(path)) for path in reversed(paths)][::-1]


def keep_apart(inputs: Iterable[str | Path], outputs: Iterable[Path]) -> None:
    """Raise UserError if an output would replace an input."""
    given = {os.path.realpath(path): path for path in inputs}
    for output in outputs:
        replaced = given.get(os.path.realpath(output))
        if replaced is not None:
            raise UserError(f"{output}: would replace the photo {replaced}; choose another --out")


def printable(text: str) -> str:
    """Text that every program can encode: bytes of a file name that are no UTF-8 become question marks."""
    return text.encode(errors="replace").decode()


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` as `whole` does; returns ``path`` as a `Path`. Raises `OSError`."""
    with whole(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> "np.memmap":
    """Make a memory-mapped ``.npy`` file of zeros and reserve its place on the disk.

    Where a disk is full, writing to a mapped file ends the process. So this raises `OSError` first.
    """
    import numpy as np  # here, as the command line's help imports this module

    made: np.memmap = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
    return made


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, on disk before this returns. After a line that was cut off when a process was
    killed, it begins a new one. Raises `OSError`."""
    with path.open("ab+") as file:
        cut_off = file.tell() and not _ends_with_newline(file)
        file.write(("\n" * cut_off + line + "\n").encode(errors="replace"))
        file.flush()
        os.fsync(file.fileno())


def _ends_with_newline(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn errors of the operating system in this context into UserError: no permission, no space."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written to ({error.strerror or error})") from None


def check_output(path: Path | None, option: str, *endings: str) -> None:
    """Raise UserError, before long work, if a result could not be written there.

    A result goes to a regular file of its own kind: a page, a table or a photo is never replaced by it.
    """
    if path is None:
        return
    if printable(str(path)) != str(path):
        raise UserError(f"{option} {printable(str(path))}: expected a name in UTF-8")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {path}: cannot be written ({_reason(error)})") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{option} {path}: cannot be written: it is a folder")
    if path.suffix not in endings:
        raise UserError(f"{option} {path}: expected a file that ends in {' or '.join(endings)}")
    if not stat.S_ISREG(mode):
        raise UserError(f"{option} {path}: cannot be written: it is not a regular file")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{option} {path}: cannot be written: no permission in {path.parent}")


def json_text(content: Any, indent: int | None = None) -> str:
    """JSON of a result. A number that is not finite becomes null, because JSON cannot represent it."""
    try:  # most content is plain already
        return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(plain(content), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(content: Any) -> Any:
    """The same content with Python's numbers, and None for each that is not finite."""
    if type(content) in (str, int, bool, type(None)):  # at once, as a result has many thousands of them
        return content
    if type(content) is float:
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if hasattr(content, "tolist"):  # of NumPy
        return plain(content.tolist())
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        return [plain(value) for value in content]
    return str(content) if isinstance(content, Path) else content


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
