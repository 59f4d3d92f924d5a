"""Models that the user's own code makes: ``package.module:function``, as it stands after ``--model``."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from gazeback.models.errors import ModelError, first_line

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names_code(source: object) -> bool:
    """Whether something names a function in a module, rather than a file or a bundled model."""
    return isinstance(source, str) and _NAME.fullmatch(source) is not None and not Path(source).exists()


def made_by(source: str) -> Any:
    """Call ``package.module:function``; modules in the current folder are found, too.

    Raises:
        ModelError: there is no such module or function, it takes arguments, or it raises an error.
    """
    module_name, _, function_name = source.partition(":")
    with _current_folder():
        try:
            found: Any = import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise ModelError(f"{source}: {module_name} cannot be imported ({error})") from error
            raise ModelError(f"{source}: there is no module {module_name!r} here or installed") from None
        except Exception as error:  # the user's own code raises what it likes
            raise ModelError(f"{source}: {module_name} cannot be imported ({first_line(error)})") from error
        for name in function_name.split("."):
            if not hasattr(found, name):
                raise ModelError(f"{source}: {module_name} has no {function_name!r}")
            found = getattr(found, name)
        if not callable(found):
            raise ModelError(
                f"{source}: expected a function without arguments that returns the model, it is a "
                f"{type(found).__name__}"
            )
        try:
            return found()
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{source}: it raised {type(error).__name__}: {first_line(error)}") from error


@contextmanager
def _current_folder() -> Iterator[None]:
    """Modules of the current folder come first, as with ``python -m``."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
