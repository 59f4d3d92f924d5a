"""Write and read captioners: a ``.keras`` file (a zip archive of Keras) with one more member,
``gazeback.npz``.

The member holds the vocabulary, the mean features and the names. Keras ignores it, so
``keras.models.load_model`` also opens the file. Nothing that is read from a file is executed: Keras' safe
mode is on, and pickles are refused.
"""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.vocabulary import Vocabulary

MEMBER = "gazeback.npz"
KIND = "gazeback captioner"
EXPECTED = "expected a .keras file trained by gazeback train captioner"


def write(
    path: Path, model: keras.Model, vocabulary: Vocabulary, mean_features: np.ndarray, **names: str
) -> None:
    """Write a captioner atomically; ``names`` are its own name and that of its last map's layer."""
    if path.suffix != ".keras":
        raise ModelError(f"{path}: a captioner is stored in a file that ends in .keras")
    about = {"kind": KIND, "words": list(vocabulary.words), **names}
    member = io.BytesIO()
    np.savez_compressed(member, about=np.array(json.dumps(about)), mean_features=mean_features)
    partial = path.with_name(f".{path.stem}.partial.keras")
    try:
        model.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(MEMBER, member.getvalue())
        os.replace(partial, path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Return the fields of the ``Captioner`` in a file; raises ModelError with what is wrong."""
    about, mean_features = _read_member(path)
    try:
        fields = {
            "model": keras.models.load_model(path, compile=False, safe_mode=True),
            "vocabulary": Vocabulary(tuple(about["words"])),
            "mean_features": mean_features,
            "features_layer": about["features_layer"],
            "name": about["name"],
        }
        last_map = tuple(fields["model"].get_layer(fields["features_layer"]).output.shape[1:])
        words = fields["model"].output.shape[-1]
    except Exception as error:  # Keras raises whatever its layers raise on a damaged configuration
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path}: a broken captioner file ({reason})") from error
    if words != len(about["words"]) or mean_features.shape not in (last_map, last_map[-1:]):
        raise ModelError(
            f"{path}: a broken captioner file: {len(about['words'])} words and mean features of shape "
            f"{mean_features.shape} for a model with {words} words and {last_map[-1]} channels"
        )
    return fields


def _read_member(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Read the member that makes the file a captioner: (names and words, mean features)."""
    if path.is_dir():
        raise ModelError(f"{path}: expected a .keras file, got a folder")
    if not path.exists():
        raise ModelError(f"{path}: no such file; {EXPECTED}")
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(MEMBER) if MEMBER in archive.namelist() else None
    except zipfile.BadZipFile:
        message = f"{path}: not a .keras file, or a broken one (it is no complete zip archive)"
        raise ModelError(message) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data is None:
        raise ModelError(f"{path}: not a captioner; {EXPECTED}")
    try:
        content = np.load(io.BytesIO(data), allow_pickle=False)
        about, mean_features = json.loads(str(content["about"])), content["mean_features"]
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: a broken captioner file ({MEMBER}: {error})") from None
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise ModelError(f"{path}: not a captioner; {EXPECTED}")
    return about, mean_features
