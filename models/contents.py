"""What results depend on, as hashes: the contents of files, the weights of models, the versions of libraries.

Everything that is kept for a later run (records, checkpoints, cached activations) is kept under such a hash,
never under the name of a file.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import DataError

LIBRARIES = ("keras", "numpy", "pillow", "scipy")

PACKAGES = ("cnn_trace", "eval", "grounding", "lstm_trace", "models")


def versions() -> dict[str, str]:
    """The versions of everything that computes results, and the backend of Keras.

    gazeback's has a hash of its code, which may be changed without a new number.
    """
    backend = keras.backend.backend()
    known = {"gazeback": f"{version('gazeback')} {_own_code()[:8]}"}
    known |= {name: version(name) for name in LIBRARIES}
    return known | {"backend": f"{backend} {_backend_version(backend)}"}


@cache
def _own_code() -> str:
    root = Path(__file__).parents[1]
    return files_digest(sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the contents of files, in their order; a missing file counts as such."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update((file_digest(path) if path.is_file() else "missing").encode())
    return digest.hexdigest()


def digest(*things: Any) -> str:
    """SHA-256 of objects: the weights and the structure of Keras models, arrays, text, numbers, containers,
    and the attributes of gazeback's own objects. A function counts by the file that it is written in.

    Call it on a freshly loaded object: attributes whose names begin with ``_`` are left out.
    """
    found = _Digest()
    for thing in things:
        found.add(thing)
    return found.hash.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._seen: dict[int, Any] = {}

    def add(self, thing: Any) -> None:
        """Add one object; an object that comes again counts by its place only."""
        if thing is None or isinstance(thing, str | bytes | int | float | np.generic | Path):
            return self._text(repr(thing))
        if id(thing) in self._seen:
            return self._text(f"again {list(self._seen).index(id(thing))}")
        self._seen[id(thing)] = thing
        self._text(type(thing).__qualname__)
        if isinstance(thing, np.ndarray):
            self._array(thing)
        elif isinstance(thing, Mapping):
            self._each(part for pair in thing.items() for part in pair)
        elif isinstance(thing, list | tuple):
            self._each(thing)
        elif isinstance(thing, set | frozenset):
            self._each(sorted(thing, key=repr))
        elif isinstance(thing, keras.layers.Layer):
            self._layer(thing)
        elif callable(thing) and not isinstance(thing, type) and hasattr(thing, "__code__"):
            self._text(f"{thing.__qualname__} {_source(thing)}")
        else:
            self._each(part for pair in _attributes(thing).items() for part in pair)

    def _each(self, things: Iterable[Any]) -> None:
        for thing in things:
            self.add(thing)
        self._text("end")

    def _text(self, text: str) -> None:
        self.hash.update(text.encode(errors="surrogatepass") + b"\0")

    def _array(self, array: np.ndarray) -> None:
        self._text(f"{array.dtype} {array.shape}")
        self.hash.update(
            np.ascontiguousarray(array).tobytes() if array.dtype != object else repr(array).encode()
        )

    def _layer(self, layer: Any) -> None:
        """The weights, the structure without names that Keras counts up, and the code of own layers."""
        for array in layer.get_weights():  # without the random state of dropout
            self._array(array)
        layers = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else [layer]
        own: set[Callable[..., Any]] = {
            type(one) for one in layers if not type(one).__module__.startswith("keras.")
        }
        self._each(sorted(_source(one) for one in own))
        self._text(_structure(layer))


def _structure(layer: Any) -> str:
    """The configuration as text; names of layers, which count up in a process, become their places."""
    try:
        text = repr(keras.saving.serialize_keras_object(layer))
    except Exception:  # a model of the user's own may have no configuration; its weights and code remain
        return ""
    names = {str(one.name): f"layer {place}" for place, one in enumerate(layer._flatten_layers())}
    for name, place in names.items():
        text = text.replace(repr(name), repr(place))
    return text


def _attributes(thing: Any) -> dict[str, Any]:
    """The attributes of an object of gazeback or a dataclass; of any other nothing is known but its kind."""
    if is_dataclass(thing):
        return {one.name: getattr(thing, one.name) for one in fields(thing) if one.repr or one.init}
    if type(thing).__module__.startswith("gazeback."):
        return {name: value for name, value in vars(thing).items() if not name.startswith("_")}
    return {}


@cache
def _source(thing: Callable[..., Any]) -> str:
    """A hash of the file in which a function or class is written; its name if there is no such file."""
    try:
        file = inspect.getsourcefile(thing)
    except TypeError:
        file = None
    known = file is not None and Path(file).is_file()
    return file_digest(Path(str(file))) if known else str(thing.__qualname__)


def _backend_version(backend: str) -> str:
    try:
        return version(backend)
    except Exception:  # installed under another name, such as tensorflow-cpu
        return ""
