"""Read a weights file of PyTorch's legacy format (before 1.6, not a zip) into NumPy arrays, without PyTorch.

The format is a sequence of pickles: magic number, protocol version, system information, the state dict (whose
tensors point at storages by persistent ids) and the list of storage keys; then each storage as its element
count (int64) and its raw little-endian elements. Source: the legacy branch of ``torch.save``,
``torch/serialization.py``.

A pickle can call any function of any installed module. The unpickler here resolves only the names in
``_allowed_globals``. It refuses every other name before anything is called.
"""

import math
import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.reading import regular_file

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}


class TorchFileError(ModelError):
    """The file is not a legacy PyTorch state dict, is damaged, or holds more than arrays."""


@dataclass
class _Storage:
    """A flat block of numbers; its elements follow after all pickles."""

    dtype: np.dtype
    size: int
    elements: np.ndarray | None = None


@dataclass(frozen=True)
class _View:
    """A tensor: a strided window on a storage. Offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Copy the window out of its storage; raises TorchFileError if it reaches outside."""
        last = self.offset + sum(
            (side - 1) * step for side, step in zip(self.shape, self.strides, strict=True)
        )
        elements = self.storage.elements
        repeated = elements is not None and math.prod(self.shape) > elements.size
        broken = repeated or self.offset < 0 or min(self.strides, default=0) < 0
        if elements is None or broken or last >= elements.size:
            raise TorchFileError(f"a tensor of shape {self.shape} reaches outside its storage")
        steps = [step * elements.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(elements[self.offset :], self.shape, steps).copy()


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_autograd: Any) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


def _allowed_globals() -> dict[tuple[str, str], Any]:
    """Every name that a state dict may mention; a storage type is mapped to its dtype."""
    allowed: dict[tuple[str, str], Any] = {("torch", name): dtype for name, dtype in STORAGE_DTYPES.items()}
    allowed["collections", "OrderedDict"] = OrderedDict
    allowed["torch._utils", "_rebuild_tensor"] = _rebuild_tensor
    allowed["torch._utils", "_rebuild_tensor_v2"] = _rebuild_tensor
    return allowed


class _StateDictUnpickler(pickle.Unpickler):
    """Resolves the names of ``_allowed_globals`` and storages, nothing else."""

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages
        self._allowed = _allowed_globals()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise TorchFileError(
                f"the weights file asks for {module}.{name}; only tensors are read, so it is refused"
            )
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, size, view = pid
        if kind != "storage" or view is not None:
            raise TorchFileError(
                f"expected a plain storage in the weights file, got {kind!r} with view {view!r}"
            )
        return self._storages.setdefault(str(key), _Storage(dtype, int(size)))


def _read_storages(file: BinaryIO, keys: list[str], storages: dict[str, _Storage]) -> None:
    for key in keys:
        storage = storages[key]
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        if count != storage.size:
            raise TorchFileError(f"storage {key} announces {storage.size} elements but holds {count}")
        left = os.fstat(file.fileno()).st_size - file.tell()
        elements = np.frombuffer(file.read(min(count * storage.dtype.itemsize, left)), storage.dtype)
        if elements.size != count:
            raise TorchFileError(f"storage {key} ends after {elements.size} of {count} elements")
        storage.elements = elements


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    storages: dict[str, _Storage] = {}

    def next_pickle() -> Any:
        return _StateDictUnpickler(file, storages).load()

    if next_pickle() != MAGIC_NUMBER or next_pickle() != PROTOCOL_VERSION:
        raise TorchFileError("not a legacy PyTorch weights file: its first bytes differ")
    if not next_pickle()["little_endian"]:
        raise TorchFileError("the weights file was written on a big-endian machine, which is not supported")
    views = next_pickle()
    _read_storages(file, next_pickle(), storages)
    return {name: view.array() for name, view in views.items()}


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of a legacy PyTorch ``.pth`` file by name, in the file's order.

    Raises ``TorchFileError`` for anything that is not a dictionary of plain tensors, and never runs code
    from it.
    """
    regular_file(Path(path), "a PyTorch weights file", TorchFileError)
    try:
        with open(path, "rb") as file:
            return _read(file)
    except TorchFileError as error:
        raise TorchFileError(f"{path}: {error}") from None
    except OSError as error:
        raise TorchFileError(f"{path}: cannot be read ({error.strerror})") from None
    except _DAMAGE as error:
        raise TorchFileError(f"{path}: not a legacy PyTorch state dict ({type(error).__name__})") from None


# What the pickle module and the look-ups above raise on bytes that are no pickle of the expected form.
_DAMAGE: tuple[type[Exception], ...] = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    UnicodeDecodeError,
    ImportError,
    OverflowError,
    MemoryError,
)
