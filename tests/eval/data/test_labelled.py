"""Folders of photos with a class, boxes, and boxes that somebody published."""

import json
from pathlib import Path

import numpy as np
import pytest

from gazeback.eval.data.folder import ObjectData
from gazeback.eval.data.formats import read_published
from gazeback.eval.data.image import Object, ObjectImage
from gazeback.eval.subjects.classifier import label_classes
from gazeback.models.errors import DataError
from gazeback.models.photos import load_photo


def change(folder, name, change_it):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change_it(content)))


def without(key):
    def change_it(content):
        del content["images"][0][key]
        return content

    return change_it


def with_value(key, value):
    def change_it(content):
        content["images"][0][key] = value
        return content

    return change_it


def test_boxes_are_scaled_to_the_input(squares_folder, colours):
    data = ObjectData(squares_folder)
    stored = json.loads((squares_folder / "annotations.json").read_text())["images"]
    boxes = {entry["file_name"]: entry["boxes"][0] for entry in stored}
    for image in data.images:
        pixels = colours.preprocess(load_photo(image.path)).pixels
        np.testing.assert_allclose(image.boxes_on((32, 32))[0], np.array(boxes[image.name]) / 2)
        np.testing.assert_array_equal(image.boxes_mask_on((32, 32)), pixels[..., image.label] > 100)


def test_boxes_of_a_category_on_an_image_of_another_size():
    objects = (
        Object("cup", (1, 2, 3, 4)),
        Object("cup", (0, 0, 9, 9), crowd=True),
        Object("dog", (0, 0, 2, 2)),
    )
    image = ObjectImage("a", Path("a"), (10, 20), objects, original=(40, 40))
    assert image.boxes_on((20, 20), "cup").tolist() == [[1, 4, 3, 8]]
    assert image.boxes("cup").tolist() == [[2, 8, 6, 16]]
    assert image.boxes_mask_on((10, 20), "dog").sum() == 4
    assert image.mask("cup").sum() == 18 * 36  # crowds are part of the mask
    with pytest.raises(DataError, match="a: the size that its boxes refer to is not known"):
        ObjectImage("a", Path("a")).boxes_on((4, 4))


def published(folder):
    return read_published(folder, ObjectData(folder).images)


def test_published_boxes(squares_folder):
    of_network = published(squares_folder)["Col-Ours"]
    assert of_network["1.png"].predicted == 0
    assert of_network["1.png"].box[2:] == (40, 40)
    (squares_folder / "published_boxes.json").unlink()
    assert published(squares_folder) == {}


@pytest.mark.parametrize(
    "content",
    [[], {"boxes": {"a": {"0.png": {}}}}, {"boxes": {"a": {"0.png": {"predicted_label": 1, "box": [1]}}}}],
)
def test_published_boxes_of_another_format(squares_folder, content):
    change(squares_folder, "published_boxes.json", lambda _: content)
    with pytest.raises(DataError, match=r"not an object with boxes\[network\]\[file_name\]") as caught:
        published(squares_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change_it", "message"),
    [
        (
            "annotations.json",
            lambda _: [],
            "not an object with images.*: expected an object, got",
        ),
        ("annotations.json", without("label"), r"file_name, width, .*images\[0\]: 'label' is missing"),
        (
            "annotations.json",
            with_value("label", "cat"),
            "0..label: expected a whole number, got text",
        ),
        ("annotations.json", with_value("width", 0), r"images\[0\].width: expected a whole number >= 1"),
        (
            "annotations.json",
            with_value("boxes", [[1, 2, 3]]),
            r"images\[0\].boxes\[0\]: expected a list of length 4",
        ),
        ("annotations.json", lambda _: {"images": ["0.png"]}, "file_name, width"),
        ("annotations.json", lambda _: {"images": []}, "no image in the all part"),
        ("class_names.json", lambda _: ["one"], "list of two or more class names"),
    ],
)
def test_wrong_files_are_one_clear_error(squares_folder, name, change_it, message):
    change(squares_folder, name, change_it)
    with pytest.raises(DataError, match=message) as caught:
        ObjectData(squares_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change_it", "reasons"),
    [
        (with_value("label", 3), {"label that is no class": 1}),
        (with_value("boxes", []), {"image without an object": 1}),
        (with_value("boxes", [[1, 2, 0, 3]]), {"empty box": 1, "image without an object": 1}),
        (with_value("boxes", [[64, 2, 9, 3]]), {"box outside the image": 1, "image without an object": 1}),
        (with_value("boxes", [[1, 2, 5, 3], [-9, 2, 9, 3]]), {"box outside the image": 1}),
        (with_value("file_name", "none.png"), {"missing image": 1}),
        (with_value("file_name", "1.png"), {"duplicated image": 1}),
    ],
)
def test_a_bad_annotation_is_counted_and_left_out(squares_folder, change_it, reasons):
    change(squares_folder, "annotations.json", change_it)
    data = ObjectData(squares_folder)
    assert {reason: count for reason, count in data.skipped.items() if count} == reasons
    assert len(data) == 12 - (set(reasons) != {"box outside the image"})


def test_a_classifier_of_other_classes_is_refused(squares_folder, colours):
    change(squares_folder, "class_names.json", lambda names: [*names, "grey"])
    with pytest.raises(DataError, match="names 4 classes, colours has 3"):
        label_classes(ObjectData(squares_folder), colours)
