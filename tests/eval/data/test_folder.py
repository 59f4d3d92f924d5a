"""Images with objects from four kinds of folders, and what is said about what is wrong in them."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths

from gazeback.eval.data.folder import ObjectData, wrong_class
from gazeback.eval.data.image import outline_mask, picture_mask
from gazeback.eval.data.selection import part_of
from gazeback.models.errors import DataError

TRIANGLE = [[2.0, 2.0, 18.0, 2.0, 2.0, 18.0]]


def picture(path, height=20, width=30, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(path)


def annotation(number, image, category=1, box=(2, 2, 16, 16), **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(box), **more}


@pytest.fixture
def coco(tmp_path):
    """A folder that is written with what is wanted: `write(annotations, images)`."""

    def write(annotations, images=(1, 2), split="val2017", changes=None):
        entries = [
            {"id": number, "file_name": f"{number}.png", "height": 20, "width": 30} for number in images
        ]
        for number in set(images):
            picture(tmp_path / split / f"{number}.png")
        categories = [{"id": 1, "name": "cup"}, {"id": 7, "name": "dog"}]
        content = {"images": entries, "annotations": annotations, "categories": categories}
        content |= changes or {}
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        return tmp_path

    return write


def counted(data):
    return {reason: count for reason, count in data.skipped.items() if count}


def test_coco(coco):
    folder = coco([annotation(1, 1), annotation(2, 1, 7, iscrowd=1), annotation(3, 2, 7, (0, 0, 3, 4))])
    data = ObjectData(folder)
    assert (data.format, data.split, len(data), counted(data)) == ("COCO", "val2017", 2, {})
    assert data.class_names == ("cup", "dog")
    image = data["1.png"]
    assert image.categories == ("cup", "dog")
    assert image.annotated == (20, 30)
    assert image.boxes().tolist() == [[2, 2, 16, 16]]  # a crowd is no single object
    assert data["2.png"].mask().sum() == 12
    assert data["2.png"].mask("cup").sum() == 0


def test_outlines_are_polygons_or_run_lengths(coco):
    packed = run_lengths.encode(np.asfortranarray(np.tri(20, 30, dtype=np.uint8)))
    packed["counts"] = packed["counts"].decode()
    plain = {"size": [20, 30], "counts": [20 * 10, 20 * 20]}  # columns, background first
    folder = coco(
        [
            annotation(1, 1, segmentation=TRIANGLE),
            annotation(2, 1, 7, segmentation=plain, iscrowd=1),
            annotation(3, 2, segmentation=packed),
            annotation(4, 2, 7, (0, 0, 3, 4), segmentation=[]),
        ]
    )
    data = ObjectData(folder)
    triangle = data["1.png"].mask("cup")
    assert 110 < triangle.sum() < 145  # half of 16 x 16
    assert triangle[3, 3]
    assert not triangle[16, 16]
    right = data["1.png"].mask("dog")
    assert right[:, 10:].all()
    assert not right[:, :10].any()
    np.testing.assert_array_equal(data["2.png"].mask("cup"), np.tri(20, 30, dtype=bool))
    assert data["2.png"].mask("dog").sum() == 12  # without an outline the box is what is known
    np.testing.assert_array_equal(data["1.png"].mask(), triangle | right)


def test_several_polygons_are_one_outline():
    squares = [[0.0, 0, 4, 0, 4, 4, 0, 4], [6.0, 6, 10, 6, 10, 10, 6, 10]]
    mask = outline_mask(squares, 12, 12)
    assert mask.sum() == 32
    assert mask[1, 1]
    assert mask[8, 8]


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ([annotation(2, 99)], "annotation of no known image or category"),
        ([annotation(2, 1, 99)], "annotation of no known image or category"),
        ([annotation(1, 1)], "duplicated annotation"),
        ([annotation(2, 1, box=(2, 2, 0, 5))], "empty box"),
        ([annotation(2, 1, box=(2, 2, 5, -1))], "empty box"),
        ([annotation(2, 1, box=(2, 2, 1e30, 1))], "box of more than 1,000,000 pixels"),
        ([annotation(2, 1, segmentation=[[1, 2, 3, 4, 5, 1e30]])], "outline that cannot be read"),
        ([annotation(2, 1, box=(30, 2, 5, 5))], "box outside the image"),
        ([annotation(2, 1, box=(-5, 2, 5, 5))], "box outside the image"),
        ([annotation(2, 1, segmentation=[[1, 2, 3]])], "outline that cannot be read"),
        ([annotation(2, 1, segmentation=[[1, 2, 3, 4, 5, "6"]])], "outline that cannot be read"),
        ([annotation(2, 1, segmentation={"size": [9, 9], "counts": "1"})], "outline that cannot be read"),
        ([annotation(2, 1, segmentation={"size": [20, 30], "counts": [1]})], "outline that cannot be read"),
        ([annotation(2, 1, segmentation={"counts": "1"})], "outline that cannot be read"),
    ],
)
def test_what_is_wrong_in_an_annotation_is_counted_and_left_out(coco, annotations, reason):
    data = ObjectData(coco([annotation(1, 1), *annotations], images=(1,)))
    assert counted(data) == {reason: 1}
    assert len(data["1.png"].objects) == 1


def test_images_that_cannot_be_used_are_counted(coco):
    folder = coco([annotation(i, i) for i in (1, 2, 3)], images=(1, 2, 3, 4, 1))
    (folder / "val2017" / "2.png").unlink()
    data = ObjectData(folder)
    assert set(data.names) == {"1.png", "3.png"}
    assert counted(data) == {"duplicated image": 1, "missing image": 1, "image without an object": 1}


def test_two_ids_of_one_file_are_one_image(coco):
    folder = coco([annotation(1, 1)])
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = "1.png"
    path.write_text(json.dumps(content))
    data = ObjectData(folder)
    assert data.names == ["1.png"]
    assert counted(data) == {"duplicated image": 1}


def test_splits(coco):
    coco([annotation(1, 1)], split="train")
    assert ObjectData(coco([annotation(1, 1)], split="train")).split == "train"
    folder = coco([annotation(1, 2)])
    assert ObjectData(folder).split == "val2017"
    assert ObjectData(folder, "train").names == ["1.png"]
    with pytest.raises(DataError, match=r"no split 'dev' in .*: its splits are train, val2017"):
        ObjectData(folder, "dev")


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": None},
        {"images": [{"id": 1}]},
        {"images": [{"id": 1, "file_name": "1.png", "height": 0, "width": 30}]},
        {"annotations": [annotation(1, 1, box=(1, 2, 3))]},
        {"annotations": [{"id": 1, "image_id": "1", "category_id": 1}]},
        {"categories": ["cup"]},
    ],
)
def test_another_format_is_one_clear_error(coco, changes):
    with pytest.raises(DataError, match=r'not COCO.s instances format, an object with "images"') as caught:
        ObjectData(coco([annotation(1, 1)], changes=changes))
    assert "\n" not in str(caught.value)


def test_labelled(squares_folder):
    path = squares_folder / "annotations.json"
    content = json.loads(path.read_text())
    entries = content["images"]
    entries[0]["boxes"].append([1, 1, 0, 3])
    entries[1]["boxes"] = [[64, 0, 5, 5]]
    entries.append(entries[2])
    (squares_folder / "images" / "3.png").unlink()
    path.write_text(json.dumps(content))
    data = ObjectData(squares_folder)
    assert data.format == "labelled"
    assert counted(data) == {
        "empty box": 1,
        "box outside the image": 1,
        "image without an object": 1,
        "missing image": 1,
        "duplicated image": 1,
    }
    assert len(data) == 10
    assert data["2.png"].label == 2
    assert data["2.png"].categories == ("blue",)
    assert data["2.png"].boxes().tolist() == entries[2]["boxes"]


def test_places_are_in_pixels_of_the_original(squares_folder):
    path = squares_folder / "annotations.json"
    content = json.loads(path.read_text())
    content["images"][0] |= {"boxes": [[8, 16, 4, 40]], "original_width": 320, "original_height": 128}
    path.write_text(json.dumps(content))
    image = ObjectData(squares_folder)["0.png"]
    assert image.annotated == (128, 320)
    assert image.boxes().tolist() == [[40, 32, 20, 80]]


@pytest.mark.parametrize("change", [{"label": None}, {"boxes": [[1, 2]]}, {"height": 0}])
def test_labelled_of_another_format(squares_folder, change):
    path = squares_folder / "annotations.json"
    content = json.loads(path.read_text())
    content["images"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(
        DataError, match=r"an object with images\[\]: file_name, width, height, label"
    ) as caught:
        ObjectData(squares_folder)
    assert "\n" not in str(caught.value)


def test_masks(tmp_path):
    for name in ("bike/1.jpg", "bike/2.jpg", "car/1.jpg"):
        picture(tmp_path / "images" / name)
    for name in ("bike/1.png", "car/1.png", "car/9.png"):
        picture(tmp_path / "masks" / name, value=255)
    data = ObjectData(tmp_path, need="masks")
    assert (data.format, counted(data)) == ("masks", {"image without a mask": 1, "mask without an image": 1})
    assert {name: data[name].group for name in data.names} == {"bike/1.jpg": "bike", "car/1.jpg": "car"}


@pytest.mark.parametrize("brightest", [1, 128, 255])
def test_masks_of_any_brightness(tmp_path, brightest):
    mask = np.zeros((12, 16), np.uint8)
    mask[3:6, 4:9] = brightest
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(picture_mask(tmp_path / "mask.png"), mask > 0)
    Image.fromarray(mask * 0).save(tmp_path / "empty.png")
    assert not picture_mask(tmp_path / "empty.png").any()


def test_class_folders(tmp_path):
    for name in ("ant/1.png", "ant/2.png", "bee/1.png"):
        picture(tmp_path / name)
    (tmp_path / "wasp").mkdir()
    data = ObjectData(tmp_path, need="labels")
    assert data.class_names == ("ant", "bee")
    assert counted(data) == {"folder without an image": 1}
    assert {name: data[name].label for name in data.names} == {"ant/1.png": 0, "ant/2.png": 0, "bee/1.png": 1}
    with pytest.raises(
        DataError, match=r"read as a folder of images for each class \(.*image without an object: 3\)"
    ):
        ObjectData(tmp_path)


def test_folders_that_are_none_of_these(tmp_path):
    with pytest.raises(DataError, match="no such data folder"):
        ObjectData(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"expected annotations/instances_SPLIT\.json"):
        ObjectData(tmp_path)


def test_parts_limits_and_a_digest_of_all(squares_folder):
    data = ObjectData(squares_folder)
    tune = ObjectData(squares_folder, part="tune")
    assert {part_of(name) for name in tune.names} == {"tune"}
    assert ObjectData(squares_folder, limit=3).names == data.names[:3]
    assert tune.digest == data.digest
    path = squares_folder / "annotations.json"
    content = json.loads(path.read_text())
    content["images"][0]["boxes"][0][0] += 1
    path.write_text(json.dumps(content))
    assert ObjectData(squares_folder).digest != data.digest


def test_nothing_left_says_why(coco):
    folder = coco([annotation(1, 1, box=(1, 1, 0, 0))], images=(1,))
    with pytest.raises(
        DataError, match=r"no image in the all part .*\(empty box: 1, image without an object: 1\)"
    ):
        ObjectData(folder)


@pytest.mark.parametrize("right", [{0}, {1, 2}, {0, 3}])
def test_a_wrong_class_is_wrong_and_always_the_same(right):
    found = {name: wrong_class(name, right, 5) for name in map(str, range(200))}
    assert set(found.values()) == set(range(5)) - right
    assert found == {name: wrong_class(name, right, 5) for name in found}


def test_no_class_is_wrong():
    with pytest.raises(DataError, match="all 2 classes are right"):
        wrong_class("a.png", {0, 1}, 2)


@pytest.mark.parametrize("label", range(5))
def test_the_wrong_class_of_one_right_class_is_counted_from_the_next(label):
    for name in map(str, range(50)):
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[9:13], "big")
        assert wrong_class(name, [label], 5) == (label + 1 + number % 4) % 5
