"""The saliency task: figures by hand, and squares on black whose masks are known."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.eval.command import evaluate
from gazeback.eval.data.selection import part_of
from gazeback.eval.metrics.pixels import PixelCounts, threshold
from gazeback.eval.subjects import classifier as asked_classifier
from gazeback.eval.tasks import saliency
from gazeback.eval.tasks.saliency import BLOB, Measured, SaliencyTask, blob, group_of
from gazeback.models.errors import DataError


@pytest.fixture
def task(squares_folder, colours, monkeypatch):
    monkeypatch.setattr(asked_classifier, "load_named", lambda model, weights: colours)

    def task(data=squares_folder, methods="evidence", part="all"):
        return SaliencyTask(data, "colours", None, part, None, methods)

    return task


@pytest.fixture
def mask_folder(squares_folder, tmp_path):
    """The photos of the squares in folders of their colours, with masks of the squares."""
    folder = tmp_path / "masks"
    for path in (squares_folder / "images").iterdir():
        colour = ("red", "green", "blue")[int(path.stem) % 3]
        for kind in ("images", "masks"):
            (folder / kind / colour).mkdir(parents=True, exist_ok=True)
        photo = Image.open(path)
        photo.save(folder / "images" / colour / path.name)
        mask = (np.asarray(photo).max(axis=2) > 0).astype(np.uint8)
        Image.fromarray(255 * mask).save(folder / "masks" / colour / path.name)
    return folder


def measured(task):
    of_image = task.measure(task.subject(), task.names(), task.methods)
    return {method: {name: of_image[name][method] for name in of_image} for method in task.methods}


def image(group, heat, mask, error=0.0):
    return Measured(group, PixelCounts.of(np.array([heat], float), np.array([mask], bool)), error)


def test_equal_error_by_category_pools_the_pixels_of_its_images():
    images = [
        image("a", [1, 0.8, 0.1, 0.1], [1, 1, 0, 0]),
        image("a", [0.9, 1, 0, 0], [0, 0, 1, 0]),  # the object is where the map has nothing
        image("b", [1, 0], [1, 0]),
    ]
    found = saliency.equal_error_by_group(images)
    # three are to be found: two of the three highest, 1, 1 and .9, are elsewhere
    assert found == {"a": pytest.approx(1 / 3), "b": 1}
    # four to find of all pixels: 1, 1, 1, .9, of which two are right
    assert saliency.equal_error_of_all(images) == pytest.approx(2 / 4)


def test_the_level_has_the_largest_mean_f():
    heat, mask = [1, 0.6, 0.3, 0.1], [1, 1, 0, 0]
    level = saliency.choose_level([image("a", heat, mask), image("a", heat, mask)])
    assert 0.3 < threshold(level) <= 0.6
    # of equals the lowest: just above the third
    assert threshold(level - 1) <= 0.3
    means = saliency.mean_scores({"1": image("a", heat, mask, 0.2), "2": image("a", mask, heat, 0.4)}, level)
    assert means["error"].mean == pytest.approx(0.3)
    assert means["error"].n == 2


def test_pooled_figures_weigh_images_by_their_pixels():
    small, large = image("a", [1, 0], [1, 0], 0.0), image("a", [1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], 0.8)
    pooled = saliency.pooled_scores([small, large], 100)
    assert pooled["error"] == pytest.approx((2 * 0 + 6 * 0.8) / 8)
    assert pooled["precision"] == 1 / 2
    assert pooled["recall"] == 1 / 4
    assert pooled["iou"] == 1 / 5
    assert saliency.mean_scores({"1": small, "2": large}, 100)["precision"].mean == 1 / 2
    assert saliency.mean_scores({"1": small, "2": large}, 100)["recall"].mean == 1 / 2


def test_evidence_covers_the_squares(task):
    records = measured(task())
    worths = {method: [task().score(r) for r in of.values()] for method, of in records.items()}
    assert list(worths) == ["evidence", "center", "activation", BLOB]
    assert min(worths["evidence"]) > 0.8
    # an even map is as good as chance: a square of 40 on 64 x 64
    assert worths["center"] == pytest.approx([40 * 40 / 64**2] * 12)
    tables = task().tables(records)
    assert [table.title for table in tables] == [
        "Pixel precision at equal error rate",
        "Mean over images",
        "All pixels pooled",
    ]
    shown = dict(zip(tables[0].columns, tables[0].rows[0][1], strict=True))
    assert set(shown) >= {"mean over categories", "red", "green", "blue"}
    assert shown["mean over categories"].n == 3
    assert np.mean([shown[colour] for colour in ("red", "green", "blue")]) == pytest.approx(
        shown["mean over categories"].mean
    )
    reported = sum(part_of(name) == "report" for name in task().names())
    assert tables[1].rows[0][1][1].n == reported
    assert f"{reported} images of the report part" in tables[1].notes[0]
    assert task(part="tune").tables(records)[1].rows[0][1][1].n == 12 - reported


def test_masks_and_boxes_of_the_same_squares_agree(task, mask_folder):
    by_mask, by_box = measured(task(mask_folder)), measured(task())
    for name, record in by_mask["evidence"].items():
        colour, file = name.split("/")
        assert record == by_box["evidence"][file]
        assert record["category"] == colour


def test_a_mask_of_another_size_is_one_bad_image(task, mask_folder):
    path = mask_folder / "masks" / "red" / "0.png"
    Image.open(path).resize((30, 40)).save(path)
    with pytest.raises(DataError, match=r"0.png: a mask of \(40, 30\) pixels for an image of \(64, 64\)"):
        task(mask_folder).measure(task(mask_folder).subject(), ["red/0.png"], ["center"])


def test_images_that_are_all_object_or_none_have_nothing_to_tell(task, mask_folder):
    for name, value in (("0.png", 0), ("3.png", 255)):
        mask = np.full((64, 64), value, np.uint8)
        mask[0, 0] = value  # nothing brighter than half of the brightest in the first
        Image.fromarray(mask).save(mask_folder / "masks" / "red" / name)
    found = task(mask_folder).measure(
        task(mask_folder).subject(), ["red/0.png", "red/3.png", "red/6.png"], ["center"]
    )
    assert list(found) == ["red/6.png"]
    assert task(mask_folder).measure(task(mask_folder).subject(), ["red/0.png"], ["center"]) == {}


def test_the_category_of_an_image_is_the_one_that_covers_most(squares_folder):
    from gazeback.eval.data.image import Object, ObjectImage

    objects = (Object("cup", (0, 0, 3, 3)), Object("dog", (5, 5, 4, 3)), Object("cup", (0, 0, 3, 3)))
    assert group_of(ObjectImage("a.png", squares_folder, (20, 20), objects)) == "dog"
    assert group_of(ObjectImage("a.png", squares_folder)) == "all"


def test_the_blob_lies_in_the_middle_and_is_as_wide_as_the_image():
    heat = blob(21, 41)
    assert np.unravel_index(heat.argmax(), heat.shape) == (10, 20)
    np.testing.assert_allclose(heat, heat[::-1, ::-1])
    assert heat[10, 20] == pytest.approx(1)
    assert heat[10, 0] == pytest.approx(np.exp(-0.5 * ((20 / 41) / 0.25) ** 2))
    assert heat[0, 20] == pytest.approx(np.exp(-0.5 * ((10 / 21) / 0.25) ** 2))


def test_too_few_images_are_one_clear_error(task):
    records = {method: dict(list(of.items())[:1]) for method, of in measured(task()).items()}
    with pytest.raises(DataError, match="to report: settings are chosen on one part"):
        task().tables(records)


def test_what_is_shown(task):
    shown = task().example(task().subject(), "0.png", ["evidence", BLOB])
    assert shown.title == "predicted: red"
    assert shown.mask.sum() == 40 * 40
    assert shown.maps["evidence"].shape == (64, 64)
    assert shown.values["evidence"].startswith("precision ")


def test_the_command(task, mask_folder, tmp_path):
    task()  # replaces the classifier
    path = tmp_path / "saliency.json"
    arguments = ["saliency", "--data", mask_folder, "--methods", "evidence", "--json", path]
    result = CliRunner().invoke(evaluate, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    written = json.loads(path.read_text())
    assert set(written["precision at equal error rate by category"]["evidence"]) == {"red", "green", "blue"}
    assert written["format"] == "masks"
