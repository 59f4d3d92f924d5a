"""COCO's files: what is read, the outlines in photo pixels, results that pycocotools takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO

from gazeback.grounding.coco.annotations import (
    outlines,
    read_instances,
    word_outlines,
    write_results,
)
from gazeback.models.captions_file import CocoImage, read_captions_file
from gazeback.models.errors import DataError
from gazeback.models.photos import load_photo

CAPTIONS: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 10, "width": 20}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "a dog"},
        {"id": 2, "image_id": 8, "caption": "no such image"},
    ],
}
SQUARE = [2, 3, 8, 3, 8, 9, 2, 9]
INSTANCES: dict[str, Any] = {
    "images": CAPTIONS["images"],
    "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "segmentation": [SQUARE]},
        {"id": 2, "image_id": 7, "category_id": 99, "segmentation": [SQUARE]},
        {"id": 3, "image_id": 8, "category_id": 18, "segmentation": [SQUARE]},
    ],
}


def stored(folder: Path, content: object) -> Path:
    path = folder / "coco.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_captions_file(tmp_path: Path) -> None:
    split = read_captions_file(stored(tmp_path, CAPTIONS))
    assert split.images == (CocoImage(7, "a.jpg", (10, 20)), CocoImage(9, "b.jpg", None))
    assert split.dangling == 1


def test_an_image_list_without_annotations(tmp_path: Path) -> None:
    assert len(read_captions_file(stored(tmp_path, {"images": CAPTIONS["images"]})).images) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("no json", "not JSON"),
        ("[1, 2]", "not COCO's captions format.*: expected an object, got a list"),
        ("{}", "'images' is missing"),
        ({"images": [{"id": 1}]}, "'file_name' is missing"),
        ({"images": 3}, "not COCO's captions format"),
        ({"images": [{"id": "x", "file_name": "a"}]}, "not COCO's captions format"),
        ({"images": []}, "lists no images"),
        ({**CAPTIONS, "annotations": [{"id": 1}]}, "'image_id' is missing"),
        (INSTANCES, "its annotations have no captions; expected COCO's captions file"),
    ],
)
def test_wrong_captions_files_are_one_line(tmp_path: Path, content: object, problem: str) -> None:
    path = stored(tmp_path, content)
    with pytest.raises(DataError, match=problem) as caught:
        read_captions_file(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; expected COCO's captions format"):
        read_captions_file(tmp_path / "no.json")
    with pytest.raises(DataError, match="a folder; expected COCO's captions format"):
        read_captions_file(tmp_path)


def test_an_instances_file(tmp_path: Path) -> None:
    split = read_captions_file(stored(tmp_path, CAPTIONS))
    instances = read_instances(stored(tmp_path, INSTANCES), split.images)
    assert {
        image: [(one.category, one.segmentation) for one in of] for image, of in instances.by_image.items()
    } == {7: [("dog", [SQUARE])]}
    assert instances.dangling == 2
    assert instances.names.categories == instances.categories == ("dog", "person")


def test_an_instances_file_lists_its_own_images(tmp_path: Path) -> None:
    instances = read_instances(stored(tmp_path, INSTANCES))
    assert [image.file_name for image in instances.images] == ["a.jpg", "b.jpg"]
    assert instances.dangling == 2


@pytest.mark.parametrize("content", [CAPTIONS, {**INSTANCES, "annotations": [{"image_id": 7}]}])
def test_wrong_instances_files(tmp_path: Path, content: object) -> None:
    split = read_captions_file(stored(tmp_path, CAPTIONS))
    with pytest.raises(DataError, match=r"not COCO's instances format.* is missing"):
        read_instances(stored(tmp_path, content), split.images)


def area(polygon: list[list[float]]) -> float:
    """Shoelace formula."""
    x, y = np.array(polygon).T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def rles(pixels: np.ndarray) -> list[dict[str, Any]]:
    """The three ways to write a mask: compressed as bytes or text, and as run lengths."""
    packed = mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[-1], pixels.T.ravel(), [-1]]))))
    counts = [int(run) for run in runs]
    return [
        packed,
        {**packed, "counts": packed["counts"].decode()},
        {"size": list(pixels.shape), "counts": counts if not pixels[0, 0] else [0, *counts]},
    ]


@pytest.mark.parametrize("kind", range(3))
def test_a_mask_and_its_polygon_have_the_same_outline(kind: int) -> None:
    pixels = np.zeros((120, 200), int)
    pixels[30:90, 20:80] = 1
    [outline] = outlines(rles(pixels)[kind], 120, 200)
    [polygon] = outlines([[20, 30, 80, 30, 80, 90, 20, 90]], 120, 200)
    assert polygon == [[20, 30], [80, 30], [80, 90], [20, 90]]
    np.testing.assert_allclose(np.min(outline, 0), [20, 30], atol=0.5)
    np.testing.assert_allclose(np.max(outline, 0), [80, 90], atol=0.5)
    assert area(outline) == pytest.approx(area(polygon), rel=0.02)  # half a pixel at the edges


def test_a_mask_up_to_the_edge_is_closed_there() -> None:
    [outline] = outlines(rles(np.ones((12, 20), int))[0], 12, 20)
    np.testing.assert_allclose([np.min(outline, 0), np.max(outline, 0)], [[0, 0], [20, 12]], atol=0.5)


def test_a_mask_of_two_parts_has_two_outlines() -> None:
    pixels = np.zeros((12, 20), int)
    pixels[1:5, 1:5] = pixels[7:11, 10:18] = 1
    assert len(outlines(rles(pixels)[0], 12, 20)) == 2


@pytest.mark.parametrize("odd", [[], [[1, 2]], [[1, 2, 3, 4, 5]], "x", None, {}, {"counts": "x"}, [[["a"]]]])
def test_segmentations_that_are_none_have_no_outline(odd: object) -> None:
    assert outlines(odd, 10, 10) == []


def test_words_get_the_outlines_of_what_they_name(tmp_path: Path) -> None:
    split = read_captions_file(stored(tmp_path, CAPTIONS))
    instances = read_instances(stored(tmp_path, INSTANCES), split.images)
    photo = load_photo(np.zeros((20, 80, 3), np.uint8))  # twice the height, four times the width annotated
    drawn = word_outlines(["a", "man", "and", "puppies"], split.images[0], photo, instances)
    assert drawn == {3: [[[8, 6], [32, 6], [32, 18], [8, 18]]]}
    assert word_outlines(["a", "dog"], split.images[1], photo, instances) == {}


def test_pycocotools_accepts_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [
        {"image_id": 7, "caption": "a dög", "words": [{"text": "a", "points": []}]},
        {"image_id": 9, "caption": "b", "words": []},
    ]
    write_results(iter(entries), tmp_path / "results.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json"]
    loaded = COCO(str(stored(tmp_path, CAPTIONS))).loadRes(str(tmp_path / "results.json"))
    assert [loaded.imgToAnns[number][0]["caption"] for number in (7, 9)] == ["a dög", "b"]
    assert loaded.imgToAnns[7][0]["words"] == entries[0]["words"]


def test_results_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    def stops() -> Any:
        yield {"image_id": 7}
        raise KeyboardInterrupt

    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_results(stops(), path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]
