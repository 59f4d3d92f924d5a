"""Suppress the log messages of TensorFlow and its libraries."""

import logging
import os
import pickle
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NOISY = "tensorflow"


def silence_libraries() -> None:
    """Suppress log messages; call it before TensorFlow is imported. The user's own settings have priority:
    TF_CPP_MIN_LOG_LEVEL=0 or `python -W` show the messages.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
        sys.meta_path.insert(0, QuietFinder())
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for name in ("tensorflow", "absl", "keras", "jax", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)


def quietly(call: bytes) -> None:
    """Start a worker process: suppress log messages, then unpickle and call a function with arguments.

    Unpickling already imports what the function needs.
    """
    silence_libraries()
    function, *arguments = pickle.loads(call)
    function(*arguments)


class QuietFinder(MetaPathFinder):
    """Finds TensorFlow as usual, but imports it with its error output closed.

    While it is imported, TensorFlow reports the processor before it reads any log level.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != NOISY:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = QuietLoader(spec.loader)
        return spec


class QuietLoader(Loader):
    """Wraps another loader, and closes the process's error output while a module is executed."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with error_output_closed():
            self._loader.exec_module(module)


@contextmanager
def error_output_closed() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2, also by C++ libraries."""
    if sys.stderr is None:  # the user has closed it
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
