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

_MODULES = ("builtins", "keras", "keras_hub", "keras_cv", "keras_nlp")
_FUNCTIONS = ("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers")
_SHAPES = ("batch_shape", "batch_input_shape")
_SIZES = ("units", "filters", "input_dim", "output_dim", "depth_multiplier", "size", "pool_size", "padding")

_OWN_CODE = (
    "its layer {} is code of your own, which a file does not hold; give a function that returns the model, "
    "--model package.module:function"
)


def load_model(path: Path, expected: str) -> keras.Model:
    """Load a model; no code of the file is run.

    Raises ModelError: no regular file, damaged, of sizes beyond reason, with layers that Keras does not know,
    or with weights that are not finite.
    """
    regular_file(path, expected, ModelError)
    if zipfile.is_zipfile(path):
        config = read_member(path, "config.json", expected, ModelError)
        if config is None:
            raise ModelError(f"{path}: a zip archive without config.json, so not {expected}")
    elif path.suffix == ".keras":
        raise ModelError(f"{path}: no complete zip archive, so not {expected}")
    else:
        config = _hdf5_config(path)
    if config is not None:
        _check_config(config, path, expected)
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers raise on a damaged configuration
        raise ModelError(f"{path}: Keras cannot load it ({_reason(error)})") from None
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path}: expected a keras.Model, got a {type(model).__name__}")
    _check_weights(model, path)
    return model


def _hdf5_config(path: Path) -> bytes | None:
    """The configuration in a file of Keras' older format; None where there is none, which Keras tells."""
    import h5py  # comes with Keras

    try:
        with h5py.File(path) as file:
            found = file.attrs.get("model_config")
    except OSError:
        return None
    return found.encode() if isinstance(found, str) else found


def _check_config(config: bytes, path: Path, expected: str) -> None:
    """Raise ModelError for code, and for layers that would take all memory before anything is known of them.

    Keras before 3.9 imports every module that a file names, and before 3.11 runs code in its older format.
    """
    config = re.sub(rb"-?\bInfinity\b|\bNaN\b", b"null", config)  # Keras writes them, and reads them again
    content = decode_json(config, dict[str, Any], f"{path}: config.json", expected, ModelError)
    parts = _parts(content | {"compile_config": None})  # as the model is not compiled
    for name, value in (entry for part in parts for entry in part.items()):
        sizes = [side for side in (value if isinstance(value, list) else [value]) if isinstance(side, int)]
        if name in _SIZES and max(sizes, default=0) > MOST_UNITS:
            raise ModelError(f"{path}: a layer has {name} = {value}; at most {MOST_UNITS:,} are read")
        if name in _SHAPES and math.prod(sizes) > MOST_INPUT:
            raise ModelError(f"{path}: an input of shape {value}; at most {MOST_INPUT:,} values are read")
    own = next(filter(None, map(_own_code, parts)), None)
    if own is not None:
        raise ModelError(f"{path}: Keras cannot load it ({_OWN_CODE.format(own)})")


def _own_code(part: dict[str, Any]) -> str | None:
    """The name of a class or function that is neither Keras' own nor registered, None for others."""
    kind, module, config = part.get("class_name"), part.get("module"), part.get("config")
    function = config.get("function") if kind == "Lambda" and isinstance(config, dict) else None
    if kind == "__lambda__" or isinstance(function, list):
        return "Lambda"
    if not isinstance(kind, str) or not isinstance(module, str):
        return None
    name = config if kind == "function" else part.get("registered_name") or kind
    if isinstance(name, str) and keras.saving.get_registered_object(name) is not None:
        return None
    package, _, inside = module.partition(".")
    known = package in _MODULES
    if kind == "function" and package != "builtins":
        known = known and inside.startswith(_FUNCTIONS)
    return None if known else str(name).rpartition(">")[2]


def _parts(content: Any) -> list[dict[str, Any]]:
    """All objects of the JSON, at any depth."""
    found: list[dict[str, Any]] = []
    open_parts = [content]
    while open_parts:
        part = open_parts.pop()
        found += [part] if isinstance(part, dict) else ()
        open_parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return found


def _check_weights(model: keras.Model, path: Path) -> None:
    for layer in model.layers:
        if not all(np.isfinite(array).all() for array in layer.get_weights() if array.dtype.kind == "f"):
            raise ModelError(f"{path}: layer {layer.name!r} has weights that are NaN or infinite")


def _reason(error: Exception) -> str:
    own = re.search(r"Could not locate class '(?:\w+>)*(\w+)'|Unknown layer: '?(?:\w+>)*(\w+)", str(error))
    if own:
        return _OWN_CODE.format(own[1] or own[2])
    return first_line(error)
