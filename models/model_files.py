"""Load a Keras model from the file of somebody else."""

import math
import re
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import ModelError, first_line
from gazeback.models.reading import decode_json, read_member, regular_file

MOST_UNITS = 10_000_000
"""The most units, filters, words or channels of one layer."""

MOST_INPUT = 30_000_000
"""The most values of one input."""

_SHAPES = ("batch_shape", "batch_input_shape")
_SIZES = ("units", "filters", "input_dim", "output_dim", "depth_multiplier", "size", "pool_size", "padding")


def load_model(path: Path, expected: str) -> keras.Model:
    """Load a model; no code of the file is run (Keras' safe mode).

    Raises ModelError: no regular file, damaged, of sizes beyond reason, with layers that Keras does not know,
    or with weights that are not finite.
    """
    regular_file(path, expected, ModelError)
    if zipfile.is_zipfile(path):
        _check_sizes(path, expected)
    elif path.suffix == ".keras":
        raise ModelError(f"{path}: no complete zip archive, so not {expected}")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers raise on a damaged configuration
        raise ModelError(f"{path}: Keras cannot load it ({_reason(error)})") from None
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path}: expected a keras.Model, got a {type(model).__name__}")
    _check_weights(model, path)
    return model


def _check_sizes(path: Path, expected: str) -> None:
    """Raise ModelError for layers that would take all memory before anything is known about them."""
    config = read_member(path, "config.json", expected, ModelError)
    if config is None:
        raise ModelError(f"{path}: a zip archive without config.json, so not {expected}")
    config = re.sub(rb"-?\bInfinity\b|\bNaN\b", b"null", config)  # Keras writes them, and reads them again
    content = decode_json(config, dict[str, Any], f"{path}: config.json", expected, ModelError)
    for name, value in _entries(content):
        sizes = [side for side in (value if isinstance(value, list) else [value]) if isinstance(side, int)]
        if name in _SIZES and max(sizes, default=0) > MOST_UNITS:
            raise ModelError(f"{path}: a layer has {name} = {value}; at most {MOST_UNITS:,} are read")
        if name in _SHAPES and math.prod(sizes) > MOST_INPUT:
            raise ModelError(f"{path}: an input of shape {value}; at most {MOST_INPUT:,} values are read")


def _entries(content: Any) -> list[tuple[str, Any]]:
    """All keys with their values, at any depth."""
    found: list[tuple[str, Any]] = []
    open_parts = [content]
    while open_parts:
        part = open_parts.pop()
        found += part.items() if isinstance(part, dict) else ()
        open_parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return found


def _check_weights(model: keras.Model, path: Path) -> None:
    for layer in model.layers:
        if not all(np.isfinite(array).all() for array in layer.get_weights() if array.dtype.kind == "f"):
            raise ModelError(f"{path}: layer {layer.name!r} has weights that are NaN or infinite")


def _reason(error: Exception) -> str:
    own = re.search(r"Could not locate class '(?:\w+>)*(\w+)'|Unknown layer: '?(?:\w+>)*(\w+)", str(error))
    if own:
        return (
            f"its layer {own[1] or own[2]} is code of your own, which a file does not hold; give a function "
            "that returns the model, --model package.module:function"
        )
    return first_line(error)
