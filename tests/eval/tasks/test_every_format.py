"""Every task that asks a classifier about images, on a folder of every format that it can take."""

import json
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from twins.soft_colours import soft

from gazeback.eval.command import TASKS
from gazeback.eval.data.formats import FORMATS, Format, Read, holding
from gazeback.eval.data.image import Object, ObjectImage
from gazeback.models.errors import DataError

COLOURS = ("red", "green", "blue")
SIDE, SQUARE = 64, 40
NUMBERS = (0, 1, 2, 3)
"""The photo 0.png is of the tune part, the others are not."""

BOXES, REGIONS = ("COCO", "labelled", "toy"), ("COCO", "labelled", "toy", "masks")
EVERY = (*REGIONS, "class folders")
TAKES = {
    "localization": BOXES,
    "pointing": BOXES,
    "proposals": BOXES,
    "adversarial": BOXES,
    "robustness": BOXES,
    "saliency": REGIONS,
    "confidence": EVERY,
    "sanity": EVERY,
    "errors": ("labelled", "class folders"),
}
"""The formats whose images have what a task needs."""


def square(number: int) -> tuple[str, list[int], np.ndarray]:
    """The colour of a square, its box, and the photo."""
    left, top = 8 * (number % 3), 4 * (number % 4)
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[top : top + SQUARE, left : left + SQUARE, number % 3] = 200
    return COLOURS[number % 3], [left, top, SQUARE, SQUARE], pixels


def save(pixels: np.ndarray, *path: Path | str) -> None:
    Path(*path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(Path(*path))


def store(content: object, *path: Path | str) -> None:
    Path(*path).parent.mkdir(parents=True, exist_ok=True)
    Path(*path).write_text(json.dumps(content))


def write_coco(folder: Path) -> None:
    images, annotations = [], []
    for number in NUMBERS:
        _, box, pixels = square(number)
        save(pixels, folder, "val2017", f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE})
        annotations.append({"id": number, "image_id": number, "category_id": number % 3, "bbox": box})
    x, y, w, h = square(0)[1]
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    annotations[0]["segmentation"] = [outline]
    annotations.append({"id": 99, "image_id": 1, "category_id": 3, "bbox": [0, 0, 60, 60]})
    annotations.append({"id": 98, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1})
    categories = [{"id": i, "name": name} for i, name in enumerate((*COLOURS, "giraffe"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    store(content, folder, "annotations", "instances_val2017.json")


def write_labelled(folder: Path) -> None:
    entries = []
    for number in NUMBERS:
        colour, box, pixels = square(number)
        save(pixels, folder, "images", f"{number}.png")
        sides = {"width": SIDE, "height": SIDE, "original_width": 3 * SIDE, "original_height": 2 * SIDE}
        entry = {"file_name": f"{number}.png", "label": COLOURS.index(colour), "boxes": [box]}
        entries.append(entry | sides)
    store({"images": entries}, folder, "annotations.json")
    store(COLOURS, folder, "class_names.json")


def write_masks(folder: Path) -> None:
    for number in NUMBERS:
        pixels = square(number)[-1]
        save(pixels, folder, "images", f"{number}.png")
        save(pixels.max(axis=-1), folder, "masks", f"{number}.png")


def write_class_folders(folder: Path) -> None:
    for number in NUMBERS:
        colour, _, pixels = square(number)
        save(pixels, folder, colour, f"{number}.png")


def write_toy(folder: Path) -> None:
    lines = []
    for number in NUMBERS:
        colour, box, pixels = square(number)
        save(pixels, folder, f"{number}.png")
        lines.append(f"{number}.png {colour} {' '.join(map(str, box))}")
    (folder / "boxes.txt").write_text("\n".join(lines))


def read_toy(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    images = []
    for line in (folder / "boxes.txt").read_text().splitlines():
        name, category, *box = line.split()
        objects = (Object(category, tuple(map(float, box))),)
        images.append(ObjectImage(name, folder / name, (SIDE, SIDE), objects))
    return Read(images, COLOURS)


WRITE = {
    "COCO": write_coco,
    "labelled": write_labelled,
    "masks": write_masks,
    "class folders": write_class_folders,
    "toy": write_toy,
}


def rounded(records):
    """Numbers with six decimals."""
    return json.loads(json.dumps(records), parse_float=lambda text: round(float(text), 6))


@pytest.fixture
def task(tmp_path, colours, monkeypatch):
    """A task of that name on a folder of that format."""
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: soft(colours))
    monkeypatch.setitem(FORMATS, "toy", Format("boxes.txt with images", holding("boxes.txt"), read_toy))

    def task(name, data_format):
        WRITE[data_format](tmp_path)
        module, _, cls = TASKS[name].task.partition(":")
        made = getattr(import_module(f"gazeback.eval.{module}"), cls)
        return made(tmp_path, "colours", None, "all", None, "fixations")

    return task


@pytest.mark.parametrize("data_format", WRITE)
@pytest.mark.parametrize("name", TAKES)
def test_every_task_on_every_format(task, name, data_format):
    made = task(name, data_format)
    if data_format not in TAKES[name]:
        with pytest.raises(
            DataError, match=r"no image in the all part of .*, read as .* \(.*image without a"
        ):
            made.names()
        return
    names = list(made.names())
    assert (made.read.format, len(names)) == (data_format, len(NUMBERS))
    found = made.measure(made.subject(), names, made.methods)
    assert set(found) == set(names)
    records = {method: {name: found[name][method] for name in names} for method in made.methods}
    assert json.loads(json.dumps(records)) == records
    tables = made.tables(records)
    assert {label for label, _ in tables[0].rows} >= {"fixations", "center"}
    shown = made.example(made.subject(), names[0], ["center"])
    assert shown is not None
    assert set(shown.maps) == {"center"}


def test_every_task_that_takes_a_split_of_objects_is_named_here():
    assert {name for name, task in TASKS.items() if "coco split" in task.options} == set(TAKES) - {"errors"}


@pytest.mark.parametrize("name", ["localization", "adversarial", "robustness", "proposals"])
def test_boxes_mean_the_same_in_coco_as_in_labelled_folders(task, name, tmp_path):
    """The photos and the boxes are the same, and so are the records."""
    records = []
    for data_format in ("labelled", "COCO"):
        made = task(name, data_format)
        assert made.read.format == data_format
        records.append(rounded(made.measure(made.subject(), ["2.png", "3.png"], ["fixations"])))
    assert records[0] == records[1]


def test_the_category_that_covers_most_is_asked_for(task, colours):
    from gazeback.eval.subjects.classifier import TrueClasses

    made = task("localization", "COCO")
    classes, images = TrueClasses(made.read, colours), made.read
    assert classes.of(images["1.png"]) == {"blue": 2, "green": 1}  # the classifier knows no giraffe
    assert classes.boxed(images["1.png"]) == {"green": 1}  # the blue crowd is no single object
    assert classes.main(images["1.png"]) == ("green", 1)
    found = ObjectImage(
        "a",
        Path("a"),
        (8, 8),
        (Object("red", (0, 0, 2, 2)), Object("blue", (1, 1, 5, 5)), Object("red", (4, 4, 2, 2))),
    )
    assert classes.main(found) == ("blue", 2)
    assert classes.main(ObjectImage("b", Path("b"), (8, 8), (Object("giraffe", (0, 0, 2, 2)),))) is None
