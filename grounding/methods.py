"""The methods by name: the core's own, which find points, and those that others bring, which make maps.

A package registers a method as an entry point of the group "gazeback.methods", named as on the command line:
``explain(model, images, target, **options)``, with ``images`` float32 ``[n, height, width, channels]`` as the
model reads them and ``target`` the number of a class, returns float32 ``[n, height, width]``: how much each
pixel matters, where nothing below 0 counts.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

import keras
import numpy as np

from gazeback.cnn_trace import METHODS
from gazeback.models.errors import UserError

GROUP = "gazeback.methods"

Explain = Callable[[keras.Model, np.ndarray, int], np.ndarray]


def known_methods() -> tuple[str, ...]:
    """The names of all methods, the core's first."""
    return (*METHODS, *(name for name in sorted(_registered()) if not is_traced(name)))


def is_traced(method: str) -> bool:
    """Whether the core knows the method; then it finds points, and can start from any neuron."""
    return method in METHODS


def check_methods(methods: Sequence[str]) -> None:
    """Raise UserError if there is no method, one that nobody knows, or one twice."""
    known = known_methods()
    unknown = [name for name in methods if name not in known]
    if unknown or not methods:
        given = ", ".join(map(repr, unknown)) or "none"
        raise UserError(f"methods: expected one or more of {', '.join(known)}, got {given}")
    twice = sorted({name for name in methods if methods.count(name) > 1})
    if twice:
        raise UserError(f"methods: each is shown once; {', '.join(twice)} was given twice")


def explained(
    method: str, model: keras.Model, pixels: np.ndarray, targets: Iterable[int]
) -> list[np.ndarray]:
    """The maps of a registered method, one per target: float32 ``[height, width]``, 0 to 1.

    Args:
        pixels: one image as the model reads it, float32 ``[height, width, channels]``.
        targets: numbers of classes.

    Raises:
        UserError: the method cannot be loaded, or returns something else than such maps.
    """
    explain = load_method(method)
    return [_checked(method, explain(model, pixels[None], target), pixels.shape[:2]) for target in targets]


def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_method(method: str) -> Explain:
    """The function of a registered method. Raises UserError if it cannot be loaded."""
    try:
        explain: Explain = _registered()[method].load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"method {method!r} cannot be loaded ({error})") from None
    return explain


def _checked(method: str, maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    maps = np.asarray(maps, np.float32)
    if maps.shape != (1, *shape):
        raise UserError(f"method {method!r}: expected a map {[1, *shape]}, got {list(maps.shape)}")
    heat = np.maximum(np.nan_to_num(maps[0], nan=0.0, posinf=0.0, neginf=0.0), 0)
    peak = float(heat.max())
    return heat / peak if peak > 0 else heat
