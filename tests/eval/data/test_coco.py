"""COCO's captions and instances as phrases with masks."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from gazeback.eval.data.coco import Outlined
from gazeback.eval.data.image import Object
from gazeback.eval.data.phrases import PhraseData, phrase_mask
from gazeback.models.errors import DataError


def square(x, y, side):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


@pytest.fixture
def coco(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.new("RGB", (40, 20)).save(tmp_path / "val" / "1.png")
    image = {"id": 1, "file_name": "1.png", "height": 20, "width": 40}
    captions = ["Two puppies and a dog by the hot dog .", "a cat"]
    content = {"images": [image], "annotations": [{"image_id": 1, "caption": c} for c in captions]}
    (tmp_path / "annotations" / "captions_val.json").write_text(json.dumps(content))
    categories = [
        {"id": 1, "name": "dog", "supercategory": "animal"},
        {"id": 2, "name": "hot dog", "supercategory": "food"},
        {"id": 3, "name": "cat", "supercategory": "animal"},
    ]
    crowd = {"size": [20, 40], "counts": [20 * 30, 20 * 10]}  # the last 10 columns
    rows = [
        (1, 1, square(0, 0, 10), [0, 0, 10, 10]),
        (1, 1, crowd, [30, 0, 10, 20]),
        (1, 2, square(10, 10, 10), [10, 10, 10, 10]),
        (1, 9, square(0, 0, 5), [0, 0, 5, 5]),
        (7, 1, square(0, 0, 5), [0, 0, 5, 5]),
        (1, 1, [], [0, 0, 5, 5]),  # without an outline the box is what is known
        (1, 1, {"counts": None}, [0, 0, 5, 5]),
        (1, 1, square(0, 0, 5), [0, 0, 0, 5]),
    ]
    instances = [
        {"image_id": image_id, "category_id": category, "segmentation": shape, "bbox": box}
        for image_id, category, shape, box in rows
    ]
    content = {"images": [image], "categories": categories, "annotations": instances}
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return tmp_path


def test_words_name_categories_and_their_masks(coco):
    data = PhraseData(coco, "val")
    (image,) = data
    first, second = image.sentences
    assert [(p.text, p.first, p.last, p.types) for p in first.phrases] == [
        ("puppies", 1, 2, ("animal",)),
        ("dog", 4, 5, ("animal",)),
        ("hot dog", 7, 9, ("food",)),
    ]
    assert second.phrases == ()
    assert first.phrases[0].boxes == ((0, 0, 10, 10), (30, 0, 10, 20), (0, 0, 5, 5))
    assert {reason: count for reason, count in data.skipped.items() if count} == {
        "annotation of no known image or category": 2,
        "outline that cannot be read": 1,
        "empty box": 1,
        "word for a category of which the photo has no instance": 1,
    }


def test_the_mask_is_the_union_on_the_squeezed_photo(coco):
    phrase = next(iter(PhraseData(coco, "val"))).sentences[0].phrases[0]
    mask = phrase_mask(phrase, (0.5, 1.0), 20, Counter())
    expected = np.zeros((20, 20), bool)
    expected[:10, :5] = True
    expected[:, 15:] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_mask_that_is_too_small_is_counted(coco):
    phrase = next(iter(PhraseData(coco, "val"))).sentences[0].phrases[2]
    skipped = Counter()
    tiny = Outlined((Object("dog", (0, 0, 1, 1), square(1, 1, 0.2)),), (20, 40))
    assert phrase_mask(type(phrase)("x", 0, 1, (), (), tiny), (0.1, 0.1), 2, skipped) is None
    assert skipped == {"mask too small": 1}


def test_a_wrong_format(coco):
    (coco / "annotations" / "instances_val.json").write_text('{"images": []}')
    with pytest.raises(DataError, match=r"not COCO.s instances format.*'categories' is missing"):
        PhraseData(coco, "val")
