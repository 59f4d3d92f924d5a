"""A captioner and a classifier of a few hundred weights, and data folders of a few photos."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from gazeback.models.captioner import Captioner
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.show_and_tell import build
from gazeback.models.vocabulary import Vocabulary

SIZE = 32
WORDS = ("<start>", "<end>", "<unknown>", "a", "red", "dog", "on", "grass", "two", "boys", "the", "park")


@pytest.fixture(scope="session")
def captioner() -> Captioner:
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    unit = keras.layers.Rescaling(1 / 127.5, -1.0, name="unit")(image)
    last_map = keras.layers.Conv2D(6, 8, strides=8, activation="relu", name="last_map")(unit)
    model = build(keras.Model(image, last_map), len(WORDS), embedding_size=8, units=12)
    mean = np.linspace(0.1, 0.6, 6, dtype=np.float32)
    return Captioner(
        model=model,
        vocabulary=Vocabulary(WORDS),
        mean_features=mean,
        features_layer="last_map",
        name="tiny",
    )


def phrase(first_word: int, text: str, types: list[str], boxes: list[list[float]]) -> dict:
    return {"first_word": first_word, "phrase": text, "types": types, "boxes": boxes}


SENTENCES = [
    {
        "sentence": "A red dog , on the grass .",
        "phrases": [
            phrase(0, "A red dog", ["animals"], [[0, 0, 16, 16]]),
            phrase(5, "the grass", ["scene"], [[0, 16, 32, 16], [100, 100, 5, 5]]),
        ],
    },
    {
        "sentence": "Two boys in it",
        "phrases": [
            phrase(0, "Two boys", ["people"], [[16, 0, 16, 16]]),
            phrase(3, "it", ["notvisual"], []),
        ],
    },
    {"sentence": "zebras !", "phrases": [phrase(0, "zebras", ["animals"], [[1, 1, 4, 4]])]},
]


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Two good photos, one missing, one that is no photo; every one has the same three sentences."""
    folder = tmp_path / "data"
    (folder / "dev").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    for name, values in zip(("1_a.png", "2_b.png"), pixels, strict=True):
        Image.fromarray(values).save(folder / "dev" / name)
    (folder / "dev" / "3_c.png").write_text("no photo")
    names = ["1_a.png", "2_b.png", "3_c.png", "4_missing.png"]
    entries = [{"file_name": name, "sentences": SENTENCES} for name in names]
    (folder / "phrases_dev.json").write_text(json.dumps([*entries, entries[0]]))
    return folder


COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="session")
def colours() -> Classifier:
    """Tells by the mean of each colour over the picture; its last map has the mean of 4 x 4 pixels."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(3, 4, strides=4, activation="relu", name="means")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(x))
    kernel = np.broadcast_to(np.eye(3) / 16, (4, 4, 3, 3))
    model.set_weights([kernel, np.zeros(3), np.eye(3), np.zeros(3)])
    return Classifier(model, COLOURS, Preprocessing(SIZE, SIZE), "colours")


@pytest.fixture
def squares_folder(tmp_path: Path) -> Path:
    """Photos of twice the input's size, each with one square of a class's colour on black, and its box."""
    folder = tmp_path / "squares"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    entries = []
    for number in range(12):
        label, (row, column) = number % 3, rng.integers(0, 4, 2) * 8
        pixels = np.zeros((2 * SIZE, 2 * SIZE, 3), np.uint8)
        pixels[row : row + 40, column : column + 40, label] = 200
        name = f"{number}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        box = [int(column), int(row), 40, 40]
        sides = {"width": 2 * SIZE, "height": 2 * SIZE}
        entries.append({"file_name": name, "label": label, "boxes": [box], **sides})
    (folder / "annotations.json").write_text(json.dumps({"images": entries}))
    (folder / "class_names.json").write_text(json.dumps(COLOURS))
    rows = {entry["file_name"]: {"predicted_label": 0, "box": entry["boxes"][0]} for entry in entries}
    (folder / "published_boxes.json").write_text(json.dumps({"boxes": {"Col-Ours": rows}}))
    return folder
