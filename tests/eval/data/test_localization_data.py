"""Reading photos with classes and boxes, and what is said about folders that are wrong."""

import json

import numpy as np
import pytest

from gazeback.eval.data.formats import LocalizationData
from gazeback.eval.data.selection import part_of
from gazeback.models.errors import DataError


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
    data = LocalizationData(squares_folder)
    stored = json.loads((squares_folder / "annotations.json").read_text())["images"]
    boxes = {entry["file_name"]: entry["boxes"][0] for entry in stored}
    batch = next(data.batches(colours, 5))
    assert batch.pixels.shape == (5, 32, 32, 3)
    for image, pixels, mask in zip(batch.images, batch.pixels, batch.masks(), strict=True):
        np.testing.assert_allclose(image.boxes_on(32, 32)[0], np.array(boxes[image.file_name]) / 2)
        np.testing.assert_array_equal(mask, pixels[..., image.label] > 100)


def test_batches_hold_every_image_once(squares_folder, colours):
    data = LocalizationData(squares_folder)
    sizes = [len(batch.images) for batch in data.batches(colours, 5)]
    assert sizes == [5, 5, 2]
    assert len(data) == 12


def test_parts(squares_folder):
    tune = LocalizationData(squares_folder, "tune").images
    report = LocalizationData(squares_folder, "report").images
    assert len(tune) + len(report) == 12
    assert {part_of(image.file_name) for image in tune} == {"tune"}


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_the_wrong_class_is_wrong_and_always_the_same(squares_folder, classes):
    images = LocalizationData(squares_folder).images
    images = [image for image in images if image.label < classes]
    again = LocalizationData(squares_folder, limit=len(images)).images
    wrong = {image.file_name: image.wrong_class(classes) for image in images}
    assert all(0 <= wrong[i.file_name] < classes and wrong[i.file_name] != i.label for i in images)
    assert all(wrong[i.file_name] == i.wrong_class(classes) for i in again if i.file_name in wrong)
    if classes == 1000:
        assert len(set(wrong.values())) > 6


def test_published_boxes(squares_folder):
    published = LocalizationData(squares_folder).published["Col-Ours"]
    assert published["1.png"].predicted == 0
    assert published["1.png"].box[2:].tolist() == [40 / 64, 40 / 64]
    (squares_folder / "published_boxes.json").unlink()
    assert LocalizationData(squares_folder).published == {}


@pytest.mark.parametrize(
    ("name", "change_it", "message"),
    [
        ("annotations.json", lambda _: [], "must be an object with a list `images`"),
        ("annotations.json", without("label"), r"needs file_name, width, .*; 0.png: KeyError\('label'\)"),
        ("annotations.json", with_value("label", "cat"), "0.png: ValueError"),
        ("annotations.json", with_value("width", 0), "sides of a photo must be above 0"),
        ("annotations.json", with_value("boxes", [[1, 2, 3]]), "0.png: ValueError"),
        ("annotations.json", lambda _: {"images": ["0.png"]}, "needs file_name, width"),
        ("annotations.json", lambda _: {"images": []}, "no image in the all part"),
        ("class_names.json", lambda _: ["one"], "list of two or more class names"),
        ("published_boxes.json", lambda _: {"boxes": {"a": {"0.png": {}}}}, r"must hold boxes\[network\]"),
        ("published_boxes.json", lambda _: [], r"must hold boxes\[network\]"),
    ],
)
def test_wrong_files_are_one_clear_error(squares_folder, name, change_it, message):
    change(squares_folder, name, change_it)
    with pytest.raises(DataError, match=message) as caught:
        LocalizationData(squares_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change_it", "reasons"),
    [
        (with_value("label", 3), {"label that is no class": 1}),
        (with_value("boxes", []), {"image without a box": 1}),
        (with_value("boxes", [[1, 2, 0, 3]]), {"empty box": 1, "image without a box": 1}),
        (with_value("boxes", [[64, 2, 9, 3]]), {"box outside the photo": 1, "image without a box": 1}),
        (with_value("boxes", [[1, 2, 5, 3], [-9, 2, 9, 3]]), {"box outside the photo": 1}),
        (with_value("file_name", "none.png"), {"missing image": 1}),
        (with_value("file_name", "1.png"), {"duplicated image": 1}),
    ],
)
def test_a_bad_annotation_is_counted_and_left_out(squares_folder, change_it, reasons):
    change(squares_folder, "annotations.json", change_it)
    data = LocalizationData(squares_folder)
    assert {reason: count for reason, count in data.skipped.items() if count} == reasons
    assert len(data) == 12 - (set(reasons) != {"box outside the photo"})


@pytest.mark.parametrize("name", ["annotations.json", "class_names.json"])
def test_a_missing_file_is_named(squares_folder, name):
    (squares_folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}; the data folder must hold images/"):
        LocalizationData(squares_folder)


def test_a_classifier_of_other_classes_is_refused(squares_folder, colours):
    change(squares_folder, "class_names.json", lambda names: [*names, "grey"])
    with pytest.raises(DataError, match="names 4 classes, colours has 3"):
        LocalizationData(squares_folder).check_fits(colours)
