"""Write and read classifiers of sketches in half precision: one ``.npz`` with weights, names and build
options.

``write`` makes the file from a trained classifier; it made ``models/weights/sketch.npz``.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.classifiers import sketch_a_net, sketch_densenet
from gazeback.models.classifiers.classifier import Classifier
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError
from gazeback.models.reading import decode_json, read_arrays
from gazeback.models.writing import json_text, whole, writing_to

BUNDLED = Path(__file__).parents[1] / "weights" / "sketch.npz"
NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "sketch_a_net": sketch_a_net.build,
    "sketch_densenet": sketch_densenet.build,
}


def write(classifier: Classifier, network: str, options: dict[str, Any], path: Path) -> None:
    """Write a classifier built by ``NETWORKS[network](**options)`` atomically."""
    about = {
        "network": network,
        "options": options,
        "name": classifier.name,
        "class_names": classifier.class_names,
        "preprocessing": asdict(classifier.preprocess),
    }
    arrays = {
        f"{layer.name}/{number}": array.astype(np.float16)
        for layer in classifier.model.layers
        for number, array in enumerate(layer.get_weights())
    }
    with writing_to(path), whole(path) as temporary, open(temporary, "wb") as target:
        np.savez_compressed(target, about=np.array(json_text(about)), **arrays)


def load(
    path: Path = BUNDLED,
    random: bool = False,
    networks: Mapping[str, Callable[..., keras.Model]] = NETWORKS,
) -> Classifier:
    """Read a classifier that ``write`` wrote.

    ``random``: keep random weights. ``networks``: the functions that build a network, by name. Raises
    ModelError.
    """
    expected = "the classifier that comes with gazeback: install it again"
    arrays = read_arrays(path, str(path), expected, ModelError)
    about = decode_json(str(arrays.pop("about")), dict[str, Any], str(path), expected, ModelError)
    model = networks[about["network"]](**about["options"])
    if not random:
        _set_weights(model, arrays)
    preprocess = Preprocessing(**about["preprocessing"])
    return Classifier(model, tuple(about["class_names"]), preprocess, about["name"])


def _set_weights(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    for layer in model.layers:
        count = len(layer.weights)
        layer.set_weights([arrays[f"{layer.name}/{number}"].astype(np.float32) for number in range(count)])
