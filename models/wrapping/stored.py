"""Write and read wrapped captioners: a ``.keras`` file of Keras with one more member, ``wrapped.npz``.

The member holds the words, the preprocessing as numbers, the average picture and how the model predicts.
Nothing that is read from a file is executed.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.caption_generator import NO_WORD
from gazeback.models.errors import ModelError
from gazeback.models.model_files import load_model
from gazeback.models.reading import Known, decode_json, read_arrays, read_member
from gazeback.models.support import MEMBER as SUPPORT
from gazeback.models.wrapping.colours import Colours
from gazeback.models.writing import json_text, whole, writing_to

MEMBER = "wrapped.npz"
ANOTHER_WAY = "give a function that returns the captioner, --model package.module:function"
EXPECTED = "a .keras file that a wrapped captioner's save wrote"


class About(Known):
    """The settings of a captioner in its file: see :func:`gazeback.models.wrap_captioner`.

    ``features`` and ``states``: how many tensors a step's features and state are; 0 for a captioner that
    reads all words so far. ``sized``: its step is for one image.
    """

    name: str
    words: tuple[str, ...]
    start: int
    end: int
    unknown: int
    pad: int
    before: bool
    limit: int | None
    features_layer: str | None
    features: int
    states: int
    sized: bool


def write(
    path: Path, model: keras.Model, about: About, colours: Colours, mean: np.ndarray | None,
    support: bytes | None,
) -> None:  # fmt: skip
    """Write a captioner whole or not at all.

    Raises:
        ModelError: a part that a file cannot hold.
    """
    if path.suffix != ".keras":
        raise ModelError(f"{path}: a captioner is stored in a file that ends in .keras")
    arrays: dict[str, Any] = {"matrix": colours.matrix, "offset": colours.offset}
    arrays |= {} if mean is None else {"mean": mean}
    content = {name: getattr(about, name) for name in About.__struct_fields__}
    member = io.BytesIO()
    np.savez_compressed(member, about=np.array(json_text(content)), **arrays)
    with writing_to(path), whole(path) as temporary:
        _save(model, temporary, about.name)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, member.getvalue())
            if support is not None:
                archive.writestr(SUPPORT, support)


def _save(model: keras.Model, path: Path, name: str) -> None:
    """Save a model, and check that Keras can load it."""
    try:
        model.save(path)
        loaded = load_model(path, EXPECTED)
    except Exception as error:  # a foreign layer raises nearly anything when it is saved or loaded
        raise ModelError(_refusal(model, name, error)) from None
    pairs = zip(model.get_weights(), loaded.get_weights(), strict=False)
    if len(model.weights) != len(loaded.weights) or not all(np.array_equal(a, b) for a, b in pairs):
        raise ModelError(_refusal(model, name, ValueError("its weights are not all stored")))


def _refusal(model: keras.Model, name: str, error: Exception) -> str:
    """One line that names the part that cannot be saved."""
    text = str(error)
    inside = (type(x).__name__ for x in model._flatten_layers(include_self=False))
    own = [kind for kind in dict.fromkeys(inside) if not hasattr(keras.layers, kind)]
    missing = re.search(r"Could not locate class '(\w+)'|Object (\w+) was created|layer (\w+) is code", text)
    part = next(filter(None, missing.groups()), None) if missing else None
    part = part or next((kind for kind in own if kind in text), "")
    if part == "RawFunction":
        return (
            f"{name}: cannot be saved: its code calls functions of TensorFlow, which a file does not hold; "
            f"write keras.ops in the place of tf, or {ANOTHER_WAY}"
        )
    if part:
        return (
            f"{name}: cannot be saved: its part {part} is code that a file does not hold; register it with "
            f"keras.saving.register_keras_serializable() and give it a get_config, or {ANOTHER_WAY}"
        )
    reason = next(iter(text.strip().splitlines()), type(error).__name__)
    return f"{name}: cannot be saved ({reason}); {ANOTHER_WAY}"


def read(path: Path) -> tuple[keras.Model, About, Colours, np.ndarray | None] | None:
    """Read a file that :func:`write` wrote; None if it holds something else.

    Raises:
        ModelError: a broken file.
    """
    data = read_member(path, MEMBER, EXPECTED, ModelError)
    if data is None:
        return None
    content = read_arrays(data, f"{path}: {MEMBER}", "the words of a captioner", ModelError)
    if not {"about", "matrix", "offset"} <= set(content):
        raise ModelError(f"{path}: {MEMBER} holds {', '.join(content)}; expected about, matrix and offset")
    about = decode_json(str(content["about"]), About, f"{path}: {MEMBER}", "a captioner", ModelError)
    arrays = [content[name] for name in ("matrix", "offset", "mean") if name in content]
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays):
        raise ModelError(f"{path}: a broken captioner file: its numbers are not finite")
    if content["matrix"].ndim != 2 or content["matrix"].shape[1:] != content["offset"].shape:
        raise ModelError(f"{path}: a broken captioner file: its preprocessing is of shapes that do not fit")
    model = load_model(path, EXPECTED)
    colours = Colours(content["matrix"], content["offset"])
    return model, about, colours, content.get("mean")


def special(about: About) -> dict[str, Any]:
    """The special words as ``wrap_captioner`` takes them."""
    found = {name: getattr(about, name) for name in ("start", "end", "unknown", "pad")}
    return {name: None if number == NO_WORD else number for name, number in found.items()}
