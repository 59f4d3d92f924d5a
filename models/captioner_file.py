"""Write and read captioners: a ``.keras`` file (a zip archive of Keras) with one more member,
``gazeback.npz``, and the support of its words, if it has one.

The member holds the vocabulary, the mean features and the names. Keras ignores it, so
``keras.models.load_model`` also opens the file. Nothing that is read from a file is executed: Keras' safe
mode is on, and pickles are refused.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import ModelError, first_line
from gazeback.models.model_files import load_model
from gazeback.models.reading import Known, decode_json, read_arrays, read_member
from gazeback.models.support import MEMBER as SUPPORT
from gazeback.models.vocabulary import Vocabulary
from gazeback.models.writing import json_text, whole, writing_to

MEMBER = "gazeback.npz"
KIND = "gazeback captioner"
EXPECTED = "a .keras file trained by gazeback train captioner"


def write(
    path: Path, model: keras.Model, vocabulary: Vocabulary, mean_features: np.ndarray,
    once: tuple[int, ...], support: bytes | None, **names: str,
) -> None:  # fmt: skip
    """Write a captioner atomically; ``names`` are its own name and that of its last map's layer."""
    if path.suffix != ".keras":
        raise ModelError(f"{path}: a captioner is stored in a file that ends in .keras")
    about = {"kind": KIND, "words": list(vocabulary.words), "once": once, **names}
    member = io.BytesIO()
    np.savez_compressed(member, about=np.array(json_text(about)), mean_features=mean_features)
    with writing_to(path), whole(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, member.getvalue())
            if support is not None:
                archive.writestr(SUPPORT, support)


class _About(Known):
    kind: str
    words: tuple[str, ...]
    name: str
    features_layer: str
    once: tuple[int, ...] = ()


def read(path: Path) -> dict[str, Any]:
    """Return the fields of the ``Captioner`` in a file; raises ModelError with what is wrong."""
    about, mean_features = _read_member(path)
    model = load_model(path, EXPECTED)
    try:
        vocabulary = Vocabulary(about.words)
        last_map = tuple(model.get_layer(about.features_layer).output.shape[1:])
        words = model.output.shape[-1]
    except (ValueError, AttributeError, TypeError) as error:  # another model than the member is about
        raise ModelError(f"{path}: a broken captioner file ({first_line(error)})") from None
    if words != len(about.words) or mean_features.shape not in (last_map, last_map[-1:]):
        raise ModelError(
            f"{path}: a broken captioner file: {len(about.words)} words and mean features of shape "
            f"{mean_features.shape} for a model with {words} words and {last_map[-1]} channels"
        )
    return {
        "model": model,
        "vocabulary": vocabulary,
        "mean_features": mean_features,
        "features_layer": about.features_layer,
        "name": about.name,
        "once": about.once,
    }


def _read_member(path: Path) -> tuple[_About, np.ndarray]:
    """Read the member that makes the file a captioner: (names and words, mean features)."""
    data = read_member(path, MEMBER, EXPECTED, ModelError)
    if data is None:
        raise ModelError(f"{path}: not a captioner; expected {EXPECTED}")
    content = read_arrays(data, f"{path}: {MEMBER}", "the words of a captioner", ModelError)
    if not {"about", "mean_features"} <= set(content):
        raise ModelError(f"{path}: {MEMBER} holds {', '.join(content)}; expected about and mean_features")
    about = decode_json(str(content["about"]), _About, f"{path}: {MEMBER}", "a captioner", ModelError)
    mean = content["mean_features"]
    if about.kind != KIND:
        raise ModelError(f"{path}: not a captioner; expected {EXPECTED}")
    if mean.dtype.kind not in "fiu" or not np.isfinite(mean).all():
        raise ModelError(f"{path}: a broken captioner file: its mean features are not finite numbers")
    return about, mean
