"""Read the files of others: the one place where JSON, archives of arrays, text and bytes are opened.

A reader names what it expects as a type, such as a `Known`. Whatever else is in the file is one error that
names the file, the place in it, what was expected and what came. Nothing that is read is executed, and sizes
are checked before anything is decoded.
"""

import io
import json
import os
import re
import stat
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct

from gazeback.models.errors import DataError, UserError, first_line

T = TypeVar("T")

MOST_BYTES = 2**31
"""The largest file, or member of an archive, that is read into memory."""

FileName = Annotated[str, Meta(min_length=1, pattern=r"\A[^\x00]*\Z")]
Side = Annotated[int, Meta(ge=1, le=1_000_000)]
"""A height or width in pixels."""

MOST_PIXELS = 89_478_485
"""The largest picture or mask: Pillow's own limit, above which a file may be a decompression bomb."""

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, IndexError, TypeError, OverflowError,
    MemoryError, RecursionError, NotImplementedError, RuntimeError, AttributeError, SyntaxError,
    tokenize.TokenError,
)  # fmt: skip
"""What zipfile, zlib and NumPy raise on damaged, encrypted or unknown content."""


class Known(Struct, forbid_unknown_fields=False):
    """The base of what a JSON object holds; further keys are ignored."""


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; False also for a name that no file can have."""
    return os.path.isfile(path)


def regular_file(path: Path, expected: str, error: type[UserError] = DataError) -> Path:
    """Return the path if it is that of a regular file that can be read; a device or pipe may never end.

    Raises `error`, which says what is there instead.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise error(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as reason:
        raise error(f"{path}: cannot be read ({first_line(reason)}); expected {expected}") from None
    if stat.S_ISDIR(mode):
        raise error(f"{path}: a folder; expected {expected}")
    if not stat.S_ISREG(mode):
        raise error(f"{path}: not a regular file; expected {expected}")
    return path


def read_bytes(
    path: Path, expected: str, error: type[UserError] = DataError, most: int = MOST_BYTES
) -> bytes:
    """Read a whole file. Raises `error`."""
    regular_file(path, expected, error)
    try:
        if path.stat().st_size > most:
            raise error(f"{path}: larger than {most:,} bytes; expected {expected}")
        return path.read_bytes()
    except OSError as reason:
        raise error(f"{path}: cannot be read ({first_line(reason)})") from None


def read_text(path: Path, expected: str, error: type[UserError] = DataError) -> str:
    """Read a file of UTF-8. Raises `error`."""
    try:
        return read_bytes(path, expected, error).decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(f"{path}: not UTF-8 ({reason}); expected {expected}") from None


def read_json(path: Path, kind: type[T], expected: str, error: type[UserError] = DataError) -> T:
    """Read a JSON file that holds an object of `kind`. Raises `error`."""
    return decode_json(read_bytes(path, expected, error), kind, str(path), expected, error)


def decode_json(
    data: bytes | str, kind: type[T], name: str, expected: str, error: type[UserError] = DataError
) -> T:
    """Decode JSON that holds an object of `kind`; `name` says where it comes from. Raises `error`.

    NaN, Infinity, numbers out of range, and text that is no UTF-8 are not JSON.
    """
    try:
        return msgspec.json.decode(_utf8(data), type=kind)
    except msgspec.ValidationError as reason:
        raise error(f"{name}: not {expected}: {_plain(str(reason))}") from None
    except RecursionError:
        raise error(f"{name}: nested too deeply; expected {expected}") from None
    except (msgspec.DecodeError, ValueError) as reason:
        raise error(f"{name}: not JSON ({reason}); expected {expected}") from None


def read_lines(path: Path, kind: type[T], expected: str, error: type[UserError] = DataError) -> Iterator[T]:
    """Read a file of one JSON object a line; a line that is cut off or of another kind is left out. Raises
    `error` if the file cannot be read; a missing file has no lines."""
    if not os.path.lexists(path):
        return
    regular_file(path, expected, error)
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as file:
            for line in file:
                with suppress(msgspec.MsgspecError, RecursionError):
                    yield decoder.decode(line)
    except OSError as reason:
        raise error(f"{path}: cannot be read ({first_line(reason)})") from None


def checked(content: Any, kind: type[T], name: str, expected: str, error: type[UserError] = DataError) -> T:
    """Check a part of a decoded file, or an option, against a type. Raises `error`."""
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as reason:
        raise error(f"{name}: not {expected}: {_plain(str(reason))}") from None


def fits(content: Any, kind: Any) -> bool:
    """Whether a part of a decoded file is of a type."""
    try:
        msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError, UnicodeError):
        return False
    return True


def read_arrays(
    source: Path | bytes, name: str, expected: str, error: type[UserError] = DataError
) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file, or of its content. Pickles are refused. Raises `error`.

    The sizes that the arrays declare are compared with what is there before memory is taken for them.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else regular_file(source, expected, error)
    with _archive(file, name, expected, error) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > 2 * MOST_BYTES:
            raise error(f"{name}: more than {2 * MOST_BYTES:,} bytes of arrays; expected {expected}")
        return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def read_array(
    path: Path, expected: str, error: type[UserError] = DataError, most: int = MOST_BYTES
) -> np.ndarray:
    """Read the array of a ``.npy`` file. A pickle is refused. Raises `error`."""
    data = read_bytes(path, expected, error, most)
    try:
        _check_header(io.BytesIO(data), path.name, len(data))
        found: np.ndarray = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except _DAMAGE as reason:
        raise error(f"{path}: not a .npy file that can be read ({first_line(reason)})") from None
    return found


def read_member(
    path: Path, member: str, expected: str, error: type[UserError] = DataError, most: int = MOST_BYTES
) -> bytes | None:
    """Read one member of a zip archive, such as a ``.keras`` file; None if it has no such member. Raises
    `error`."""
    with _archive(regular_file(path, expected, error), str(path), expected, error) as archive:
        if member not in archive.namelist():
            return None
        if archive.getinfo(member).file_size > most:
            raise error(f"{path}: {member} is larger than {most:,} bytes")
        return archive.read(member)


@contextmanager
def _archive(
    file: Path | io.BytesIO, name: str, expected: str, error: type[UserError]
) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except UserError:
        raise
    except zipfile.BadZipFile:
        raise error(f"{name}: no complete zip archive, so not {expected}") from None
    except OSError as reason:
        raise error(f"{name}: cannot be read ({first_line(reason)})") from None
    except _DAMAGE as reason:
        raise error(f"{name}: damaged ({first_line(reason)}); expected {expected}") from None


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _check_header(file: IO[bytes], name: str, size: int) -> None:
    """Raise ValueError if a ``.npy`` of so many bytes declares more than it holds, or Python objects."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} has the version {version} of the format")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects (a pickle), not numbers")
    declared = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    if declared > size or min(shape, default=0) < 0:
        raise ValueError(f"{name} declares the shape {shape}, and holds less")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        _check_header(file, member.filename, member.file_size)
    with archive.open(member) as file:
        found: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return found


def _utf8(data: bytes | str) -> bytes:
    """JSON may be in UTF-16 or UTF-32, and UTF-8 may begin with a mark."""
    if isinstance(data, str):
        return data.encode(errors="replace")
    encoding = json.detect_encoding(data)
    return data if encoding == "utf-8" else data.decode(encoding).encode()


_NAMES = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "null": "null",
    "array": "a list", "object": "an object", "list": "a list", "dict": "an object",
}  # fmt: skip


def _plain(message: str) -> str:
    """msgspec's message in words: ``images[0].id: expected a whole number, got text``."""
    told, _, place = message.partition(" - at `$")
    told = re.sub(r"Object missing required field `([^`]*)`", r"'\1' is missing", told)
    told = re.sub(r"`([^`]*)`", lambda found: _kinds(found[1]), told)
    place = place.strip("`").lstrip(".")
    told = told[:1].lower() + told[1:]
    return f"{place}: {told}" if place else told


def _kinds(text: str) -> str:
    kinds = text.split(" | ")
    known = all(kind in _NAMES for kind in kinds)
    return " or ".join(_NAMES[kind] for kind in kinds) if known else repr(text)
