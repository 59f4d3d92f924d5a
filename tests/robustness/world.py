"""A small world in which every command works in a second: models, photos and data folders of every format."""

import json
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from gazeback.models.captioner import Captioner
from gazeback.models.classifiers import Classifier
from gazeback.models.classifiers.keras_files import save
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.show_and_tell import build
from gazeback.models.vocabulary import Vocabulary

SIZE = 16
COLOURS = ("red", "green", "blue")
WORDS = ("<start>", "<end>", "<unknown>", "a", "red", "cup", "dog", "blue")


def make(folder: Path) -> None:
    """Fill an empty folder."""
    keras.utils.set_random_seed(0)
    photo(folder / "photo.png", 5)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    last_map = keras.layers.Conv2D(3, 4, strides=4, activation="relu", name="last_map")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(last_map)
    net = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(pooled))
    save(Classifier(net, COLOURS, Preprocessing(SIZE, SIZE), "net"), folder / "net.keras")
    net.save(folder / "plain.keras")
    model = build(keras.Model(image, last_map), len(WORDS), embedding_size=4, units=4)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([-9, -3, -9, 1, 2, 1, 0, 0], np.float32)])
    Captioner(model, Vocabulary(WORDS), np.ones(3, np.float32), "last_map", "tiny").save(
        folder / "captioner.keras"
    )
    _labelled(folder / "labelled")
    _coco(folder / "coco")
    _phrases(folder / "phrases")
    for name, kinds, count in (("classes", COLOURS, 14), ("sketches", ("sun", "tree"), 14)):
        for number, kind in enumerate(kinds):
            for one in range(count):
                photo(folder / name / kind / f"{one}.png", 100 * number + one)
    table = {
        "title": "T",
        "head": "",
        "columns": ["a"],
        "rows": [{"label": "x", "cells": [0.5]}],
        "notes": [],
    }
    (folder / "result.json").write_text(json.dumps({"command": "x", "tables": [table], "skipped": {"y": 1}}))


def photo(path: Path, seed: int, size: tuple[int, int] = (24, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def _labelled(folder: Path) -> None:
    images = []
    for number in range(6):
        photo(folder / "images" / f"{number}.png", number)
        sides = {"width": 20, "height": 24}
        images.append({"file_name": f"{number}.png", "label": number % 3, "boxes": [[2, 3, 9, 8]], **sides})
    (folder / "annotations.json").write_text(json.dumps({"images": images}))
    (folder / "class_names.json").write_text(json.dumps(COLOURS))
    rows = {"0.png": {"predicted_label": 0, "box": [1, 2, 3, 4]}}
    (folder / "published_boxes.json").write_text(json.dumps({"boxes": {"net": rows}}))


def _coco(folder: Path) -> None:
    images, captions, found = [], [], []
    for number in range(4):
        photo(folder / "dev" / f"{number}.png", number)
        images.append({"id": number, "file_name": f"{number}.png", "width": 20, "height": 24})
        captions.append({"id": number, "image_id": number, "caption": "a red cup and a dog"})
        outline = [[1, 1, 9, 1, 9, 9]] if number else {"size": [24, 20], "counts": [100, 80, 300]}
        found.append(
            {"id": number, "image_id": number, "category_id": 1 + number % 2, "bbox": [1, 1, 8, 8],
             "segmentation": outline, "iscrowd": int(number == 0)}
        )  # fmt: skip
    categories = [{"id": 1, "name": "cup", "supercategory": "kitchen"}, {"id": 2, "name": "red"}]
    (folder / "annotations").mkdir()
    content = {"images": images, "annotations": found, "categories": categories}
    (folder / "annotations" / "instances_dev.json").write_text(json.dumps(content))
    for split in ("dev", "train"):
        content = {"images": images, "annotations": captions}
        (folder / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    (folder / "train").symlink_to("dev")


def _phrases(folder: Path) -> None:
    phrases = [{"first_word": 0, "phrase": "a red cup", "types": ["other"], "boxes": [[1, 1, 9, 9]]}]
    entries = []
    for number in range(4):
        photo(folder / "dev" / f"{number}.png", number)
        sentences = [{"sentence": "a red cup on a dog", "phrases": phrases}]
        entries.append({"file_name": f"{number}.png", "sentences": sentences})
    (folder / "phrases_dev.json").write_text(json.dumps(entries))


LABELLED = "--data labelled --model net.keras --methods center --json out/result.json"
COCO = "--data coco --model net.keras --methods center --json out/result.json"
CAPTIONER = "--model captioner.keras --methods center --json out/result.json"
TRACE = "trace photo.png --methods saliency --top 1 --out out --model"
GROUND = "ground --model captioner.keras --out out"
GROUND_COCO = f"{GROUND} --limit 1 --coco coco/dev --annotations coco/annotations/captions_dev.json"
INTERPRET = "interpret --model net.keras --data classes --out out --json out/result.json"

COMMANDS = {
    "localization": ("labelled/annotations.json", f"evaluate localization {LABELLED}"),
    "class names": ("labelled/class_names.json", f"evaluate errors {LABELLED}"),
    "published": ("labelled/published_boxes.json", f"evaluate localization {LABELLED}"),
    "pointing": ("coco/annotations/instances_dev.json", f"evaluate pointing {COCO}"),
    "phrases": ("phrases/phrases_dev.json", f"evaluate phrases --data phrases {CAPTIONER}"),
    "coco phrases": ("coco/annotations/instances_dev.json", f"evaluate phrases --data coco {CAPTIONER}"),
    "captions": (
        "coco/annotations/captions_dev.json",
        "evaluate captions --data coco --model captioner.keras --json out/result.json",
    ),
    "report": ("result.json", "evaluate report result.json --out out/results.md"),
    "ground coco": ("coco/annotations/captions_dev.json", GROUND_COCO),
    "instances": (
        "coco/annotations/instances_dev.json",
        f"{GROUND_COCO} --instances coco/annotations/instances_dev.json",
    ),
    "trace model": ("net.keras", f"{TRACE} net.keras"),
    "trace plain": ("plain.keras", f"{TRACE} plain.keras"),
    "trace photo": ("photo.png", f"{TRACE} net.keras"),
    "ground model": ("captioner.keras", f"{GROUND} photo.png"),
    "ground photo": ("photo.png", f"{GROUND} photo.png"),
    "evaluate model": ("net.keras", f"evaluate pointing {LABELLED}"),
    "evaluate photo": ("labelled/images/0.png", f"evaluate pointing {LABELLED}"),
    "interpret model": ("net.keras", INTERPRET),
    "interpret photo": ("classes/red/0.png", INTERPRET),
    "train sketch": ("sketches/sun/0.png", "train sketch --data sketches --out out/it.keras --epochs 0"),
}
"""By what is damaged: the file of others that a command reads, and the command line, which works."""
