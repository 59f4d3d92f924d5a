"""A captioner small enough to build in a moment, and a folder of made-up photos with captions."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner
from gazeback.models.vocabulary import Vocabulary

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}


def tiny_encoder(name: str = "tiny", weights: str | None = None) -> keras.Model:
    """Two convolutions on 16x16 pixels; stands in for a real encoder."""
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-1, name="rescaling")(image)
    x = keras.layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="first")(x)
    x = keras.layers.BatchNormalization(name="first_bn")(x)
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="last")(x)
    return keras.Model(image, x, name=name)


@pytest.fixture(scope="session", params=[False, True], ids=["first-step", "every-word"])
def tiny_captioner(request) -> Captioner:
    keras.utils.set_random_seed(3)
    vocabulary = Vocabulary.from_captions([["a", "red", "green", "blue", "white", "photo"]], min_count=1)
    model = show_and_tell.build(tiny_encoder(), len(vocabulary), 5, 7, every_word=request.param)
    random = np.random.default_rng(3)
    for layer in model.layers:  # batch statistics and biases that make a difference
        layer.set_weights(
            [np.abs(w) + random.uniform(0.1, 0.9, w.shape) - 0.5 * (w.ndim > 1) for w in layer.get_weights()]
        )
    return Captioner(model, vocabulary, random.random(8).astype(np.float32), "last", "tiny")


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)


@pytest.fixture
def captions_folder(tmp_path: Path) -> Path:
    """12 photos of one colour to train on, 4 for dev; two captions each say the colour."""
    folder = tmp_path / "captions"
    for split, count in (("train", 12), ("dev", 4)):
        photos = folder / split
        photos.mkdir(parents=True)
        images, annotations = [], []
        for number in range(count):
            name, colour = list(COLOURS.items())[number % len(COLOURS)]
            Image.new("RGB", (24, 20), colour).save(photos / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png"})
            for caption in (f"A {name} photo .", f"all of it is {name}"):
                annotations.append({"id": len(annotations), "image_id": number, "caption": caption})
        content = {"images": images, "annotations": annotations}
        (folder / f"captions_{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def data_pack() -> Path:
    """The shared data pack, which lies beside the checkout or where GAZEBACK_DATA says; skips if it is
    absent.
    """
    folder = Path(os.environ.get("GAZEBACK_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data pack at {folder}; set GAZEBACK_DATA")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Saving a model with NumPy 2.4 makes Keras' own code warn; nothing here can change that."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")
            )
