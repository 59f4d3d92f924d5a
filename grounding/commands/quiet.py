"""Suppress the log messages of TensorFlow and its libraries, and import them faster."""

import logging
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def silence_libraries() -> None:
    """Suppress log messages; call it before TensorFlow is imported. The user's own settings have priority:
    TF_CPP_MIN_LOG_LEVEL=0 or `python -W` show the messages.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
        sys.meta_path.insert(0, QuietFinder())
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for name in ("tensorflow", "absl", "keras", "jax", "matplotlib", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)


def quietly(call: bytes) -> Any:
    """Start a worker process: suppress log messages, then unpickle and call a function with arguments.
    Returns what the function returns.

    Unpickling already imports what the function needs.
    """
    silence_libraries()
    function, *arguments = pickle.loads(call)
    return function(*arguments)


class QuietFinder(MetaPathFinder):
    """Finds modules as usual, but imports some in a context of `CONTEXTS`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in CONTEXTS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = QuietLoader(spec.loader, CONTEXTS[fullname])
        return spec


class QuietLoader(Loader):
    """Wraps another loader, and executes its modules in a context."""

    def __init__(self, loader: Loader, context: Callable[[], AbstractContextManager[None]]) -> None:
        self._loader, self._context = loader, context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self._context():
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


@contextmanager
def without_matplotlib() -> Iterator[None]:
    """Hide Matplotlib from who imports it, unless it is there already."""
    if "matplotlib" in sys.modules:
        yield
        return
    hidden: Any = None  # a name without a module raises ImportError
    sys.modules["matplotlib"] = hidden
    try:
        yield
    finally:
        del sys.modules["matplotlib"]


# While it is imported, TensorFlow reports the processor before it reads any log level. Keras imports
# Matplotlib if it is there: a third of a second, for a gallery that gazeback does not use.
CONTEXTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "tensorflow": error_output_closed,
    "keras": without_matplotlib,
}
