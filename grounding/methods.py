"""The methods by name: those of the core, which find points, and registered methods, which make maps.

A package registers a method as an entry point of the group "gazeback.methods", with its name on the command
line. The method is a function ``explain(model, images, target, **options)``. ``images`` are float32
``[n, height, width, channels]`` as the model reads them, and ``target`` is the number of a class. It returns
float32 ``[n, height, width]``: how much each pixel matters; values below 0 are ignored.

A method that also explains captioners gets ``images=[photos, words]``, the words int32 ``[n, T]`` beginning
with the start token, and ``target`` int ``[n, 2]``: for each row the time step and the word whose logit is
explained. A method may accept only a tuple ``(time step, word)`` and raise TypeError or ValueError for the
array. It is then called once per word.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace import METHODS
from gazeback.models.caption_generator import CaptionGenerator, Reading
from gazeback.models.contents import digest
from gazeback.models.errors import UserError

GROUP = "gazeback.methods"

Explain = Callable[..., np.ndarray]


def known_methods() -> tuple[str, ...]:
    """The names of all methods, those of the core first."""
    return (*METHODS, *(name for name in sorted(_registered()) if not is_traced(name)))


def is_traced(method: str) -> bool:
    """Whether the method is one of the core; it then finds points, and can start from any neuron."""
    return method in METHODS


def check_methods(methods: Sequence[str]) -> None:
    """Raise UserError if there is no method, or if a method is unknown or given twice."""
    known = known_methods()
    unknown = [name for name in methods if name not in known]
    if unknown or not methods:
        given = ", ".join(map(repr, unknown)) or "none"
        raise UserError(f"methods: expected one or more of {', '.join(known)}, got {given}")
    twice = sorted({name for name in methods if methods.count(name) > 1})
    if twice:
        raise UserError(f"methods: each is shown once; {', '.join(twice)} was given twice")


def check_traced(method: str) -> None:
    """Raise UserError unless the core knows the method."""
    if not is_traced(method):
        raise UserError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")


def explained(
    method: str, model: keras.Model, pixels: np.ndarray, targets: Iterable[int]
) -> list[np.ndarray]:
    """Compute the maps of a registered method, one per target: float32 ``[height, width]``, 0 to 1.

    Args:
        pixels: one image as the model reads it, float32 ``[height, width, channels]``.
        targets: numbers of classes.

    Raises:
        UserError: the method cannot be loaded, or returns something else than such maps.
    """
    explain = load_method(method)
    shape = (1, *pixels.shape[:2])
    return [_checked(method, explain(model, pixels[None], target), shape)[0] for target in targets]


def explained_words(
    method: str,
    captioner: CaptionGenerator,
    pixels: np.ndarray,
    word_ids: Sequence[int],
    positions: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Compute the maps of a registered method, one per word of a caption: float32 ``[size, size]``, 0 to 1.

    Args:
        pixels: the photo as the captioner reads it, float32 ``[size, size, 3]``.
        word_ids: the caption without start and end.
        positions: which of its words, counted from 0; by default all.

    Raises:
        UserError: the method cannot be loaded, cannot explain captioners, or returns something else.
    """
    explain = load_method(method)
    asked = range(len(word_ids)) if positions is None else positions
    image = captioner.model_input(np.asarray(pixels)[None])
    maps: dict[int, np.ndarray] = {}
    try:
        for reading in captioner.readings(word_ids):
            chosen = reading.about(asked)
            maps |= zip(chosen.positions, _of_reading(explain, chosen, image), strict=True)
    except (TypeError, ValueError) as error:
        raise UserError(f"method {method!r} cannot explain the words of a caption: {error}") from None
    shape = (len(asked), *pixels.shape[:2])
    return list(_checked(method, np.array([maps[position] for position in asked]), shape))


def _of_reading(explain: Explain, reading: Reading, image: np.ndarray) -> np.ndarray:
    """Compute the maps of all words of a reading at once, or one by one if the method takes one target."""
    n = len(reading.positions)
    rows = np.broadcast_to(reading.words, (n, reading.words.shape[-1]))
    outputs = np.broadcast_to(reading.outputs, n).tolist()
    images = [np.repeat(image, n, axis=0), rows]
    try:
        if len(set(outputs)) > 1:
            raise ValueError("several outputs")
        return explain(reading.model, images, reading.neurons.astype(np.int32), **_output(outputs[0]))
    except (TypeError, ValueError):
        found = [
            explain(reading.model, [image, row[None]], tuple(neuron.tolist()), **_output(output))
            for row, neuron, output in zip(rows, reading.neurons, outputs, strict=True)
        ]
        return np.concatenate([np.asarray(one) for one in found])


def _output(output: int) -> dict[str, int]:
    """The argument that names an output; not every method takes one."""
    return {"output": output} if output else {}


def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def code_of(method: str) -> str:
    """A hash of the code of a method of another package; "" for those of gazeback, which has a version."""
    entry = _registered().get(method)
    if entry is None or entry.value.startswith("gazeback."):
        return ""
    return digest(entry.dist and entry.dist.version, load_method(method))


def load_method(method: str) -> Explain:
    """Load the function of a registered method. Raises UserError if there is none, or it cannot be loaded."""
    registered = _registered()
    if method not in registered:
        raise UserError(f"unknown method {method!r}; there are {', '.join(sorted(registered))}")
    try:
        explain: Explain = registered[method].load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"method {method!r} cannot be loaded ({error})") from None
    return explain


def _checked(method: str, maps: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Check that the maps have the shape ``[n, height, width]``, and scale each to 0 to 1."""
    maps = np.asarray(maps, np.float32)
    if maps.shape != shape:
        expected = "a map" if shape[0] == 1 else "maps"
        raise UserError(f"method {method!r}: expected {expected} {list(shape)}, got {list(maps.shape)}")
    heat = np.maximum(np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0), 0)
    peaks = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, peaks, out=np.zeros_like(heat), where=peaks > 0)
