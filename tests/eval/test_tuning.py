"""Settings are chosen on one part of the images and reported on another."""

import numpy as np
import pytest

from gazeback.eval.data.selection import part_of
from gazeback.eval.harness.tuning import best, best_boxes, measured_part, reported_part, split, tuned
from gazeback.models.errors import DataError

IMAGES = {f"{number}.png": number for number in range(30)}


def test_the_parts_share_no_image_and_together_are_all():
    tune, reported = split(IMAGES)
    assert tune | reported == IMAGES
    assert {part_of(name) for name in tune} == {"tune"}
    assert {part_of(name) for name in reported} == {"report"}
    assert tuned(IMAGES, "all") == tuned(IMAGES, "report") == (tune, reported)
    assert tuned(IMAGES, "tune") == (tune, tune)


def test_both_parts_are_needed():
    tune, reported = split(IMAGES)
    for images, counts in (
        (tune, f"{len(tune)} images of the tune part and 0"),
        (reported, "0 images of the tune"),
    ):
        with pytest.raises(DataError, match=f"{counts}.*raise the limit"):
            tuned(images)
    assert tuned(tune, "tune") == (tune, tune)


@pytest.mark.parametrize(
    ("part", "tunes", "measured", "reported"),
    [
        ("all", True, "all", "report"),
        ("report", True, "all", "report"),
        ("tune", True, "tune", "tune"),
        ("report", False, "report", "report"),
        ("all", False, "all", "report"),
    ],
)
def test_the_tune_part_is_measured_in_any_case(part, tunes, measured, reported):
    assert measured_part(part, tunes) == measured
    assert reported_part(part) == reported


def test_the_first_of_the_best_is_chosen():
    assert best([0.1, 0.4, 0.4]) == 1
    assert best(np.array([0.3, 0.1])) == 0
    assert best([(1, 0.5), (1, 0.6), (0, 0.9)]) == 1


def test_most_images_localized_then_the_largest_mean_iou():
    assert (
        best_boxes([[0.6, 0.4, 0.6, 0.6], [0.4, 0.9, 0.45, 0.45]]) == 1
    )  # one of two each; the second fits best
    assert best_boxes([[0.6, 0.9, 0.8], [0, 0.1, 0.1]]) == 1
    assert best_boxes([[0.6, 0.6]]) == 0
    assert best_boxes([[0.9, 0.5], [0.4, 0.5]]) == 1  # more images count, not the mean
