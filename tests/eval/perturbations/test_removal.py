"""Removing pixels, and what is said without them."""

import json

import numpy as np
import pytest

from gazeback.eval.perturbations.removal import blurred, disc, random_blobs, removed, strongest
from gazeback.eval.tasks.removal import (
    BASELINES,
    DRAWS,
    SHARES,
    Outcome,
    RemovalTask,
    Word,
    _summed,
    content_words,
    mean_of,
)
from gazeback.models.errors import UserError


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25])
def test_the_strongest_pixels_are_always_the_share(share):
    rng = np.random.default_rng(0)
    for heat in (rng.random((20, 30)), np.zeros((20, 30)), np.eye(20, 30), disc((20, 30))):
        assert strongest(heat, share).sum() == round(share * 600)


def test_the_strongest_pixels_are_the_largest_values():
    heat = np.random.default_rng(1).permutation(100).reshape(10, 10)
    np.testing.assert_array_equal(strongest(heat, 0.2), heat >= 80)
    np.testing.assert_array_equal(strongest(7.0 * heat, 0.2), heat >= 80)
    np.testing.assert_array_equal(strongest(heat[:, ::-1], 0.2), heat[:, ::-1] >= 80)


def test_equal_values_nearer_to_the_strong_ones_come_first():
    heat = np.zeros((21, 21))
    heat[10, 15] = 1
    rows, columns = np.nonzero(strongest(heat, 25 / 441))
    assert np.hypot(rows - 10, columns - 15).max() < 4


def test_a_disc():
    mask = strongest(disc((40, 40)), 0.2)
    rows, columns = np.nonzero(mask)
    assert np.hypot(rows - 19.5, columns - 19.5).max() == pytest.approx(np.sqrt(0.2 * 1600 / np.pi), abs=1)


def test_random_blobs_depend_on_name_and_draw_alone():
    first = random_blobs((32, 32), "1.jpg", 0)
    np.testing.assert_array_equal(first, random_blobs((32, 32), "1.jpg", 0))
    assert first.min() == 0
    for other in (random_blobs((32, 32), "2.jpg", 0), random_blobs((32, 32), "1.jpg", 1)):
        assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.9
    # blobs, not dust: neighbours of removed pixels are mostly removed
    mask = strongest(random_blobs((64, 64), "1.jpg", 0), 0.2)
    assert (mask[1:] == mask[:-1]).mean() > 0.9


def test_random_blobs_are_everywhere_alike():
    often = np.mean([strongest(random_blobs((24, 24), "1.jpg", draw), 0.2) for draw in range(400)], axis=0)
    assert often.mean() == pytest.approx(0.2, abs=0.005)
    assert often[6:18, 6:18].mean() == pytest.approx(0.2, abs=0.03)


def test_only_the_removed_pixels_change():
    pixels = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    masks = np.zeros((2, 16, 16), bool)
    masks[1, 3, 4] = True
    stand_in = blurred(pixels)
    assert stand_in.std() < pixels.std()
    found = removed(pixels, stand_in, masks)
    np.testing.assert_array_equal(found[0], pixels)
    np.testing.assert_array_equal(found[1, 3, 4], stand_in[3, 4])
    assert (found[1] != pixels).any(axis=-1).sum() == 1
    np.testing.assert_allclose(blurred(np.full((16, 16, 3), 7.0)), 7, rtol=1e-6)


def test_content_words():
    found = content_words(["a", "brown", "dog", "and", "dogs", "running", "past", "a", "building"])
    assert found == [
        Word(1, "brown", "colours"),
        Word(2, "dog", "nouns"),
        Word(5, "running", "verbs in -ing"),
        Word(8, "building", "nouns"),
    ]


WORDS = [Word(1, "dog", "nouns"), Word(3, "grass", "nouns")]
CAPTION = ("a", "dog", "on", "grass")


def outcome(caption, *falls):
    return Outcome(tuple(caption.split()), np.array(falls))


def test_what_became_of_a_word_by_hand():
    same, no_dog = outcome("two dogs on grass", 0, 1, 0, 2), outcome("a cat on grass", 0, 3, 0, 4)
    nothing = outcome("a man", 0, 5, 0, 6)
    dog, grass = _summed(WORDS, CAPTION, [[same, no_dog], [same, nothing]], free=False)
    assert (dog["gone"], dog["others"], dog["fall"]) == ([0, 1], [0, 0], [1, 3])
    assert (grass["gone"], grass["others"], grass["fall"]) == ([0, 1], [0, 1], [2, 6])
    assert (dog["changed"], dog["again"]) == ([1, 1], "two dogs on grass")


def test_maps_that_know_no_word_are_averaged():
    same, no_dog = outcome("a dog on grass", 0, 1, 0, 2), outcome("a cat on grass", 0, 3, 0, 4)
    dog, grass = _summed(WORDS, CAPTION, [[same, same], [no_dog, no_dog]], free=True)
    assert (dog["gone"], dog["others"], dog["fall"]) == ([0.5, 0.5], [0, 0], [2, 2])
    assert (grass["gone"], grass["others"]) == ([0, 0], [0.5, 0.5])
    assert dog["changed"] == [0.5, 0.5]


def test_a_lonely_word_has_no_others():
    (dog,) = _summed(WORDS[:1], CAPTION, [[outcome("a dog", 0, 1)] * 2], free=False)
    assert dog["others"] == [None, None]
    photos = {"1.jpg": {"words": [dog]}}
    assert mean_of(photos, "difference", 0).n == 0
    assert mean_of(photos, "gone", 0).n == 1
    assert mean_of(photos, "gone", 0, "colours").n == 0


@pytest.fixture
def task(captioner, data_folder, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: captioner)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(("1_a.png", "2_b.png"))],
        "annotations": [{"image_id": i, "caption": "a dog"} for i in (0, 1)],
    }
    (data_folder / "captions_dev.json").write_text(json.dumps(content))
    return RemovalTask(data_folder, chosen="grad-cam")


def test_the_task(task, captioner, monkeypatch):
    encoded = []
    features = type(captioner).features
    monkeypatch.setattr(
        type(captioner),
        "features",
        lambda self, images: encoded.append(len(images)) or features(self, images),
    )
    search = type(captioner).search  # untrained, it would rather say nothing
    monkeypatch.setattr(
        type(captioner), "search", lambda self, maps: search(self, maps, length_normalisation=3.0)
    )
    assert task.methods == ("grad-cam", *BASELINES)
    subject = task.subject()
    found = task.measure(subject, task.names(), task.methods)
    assert found
    for of_image in found.values():
        words = [[word["text"] for word in record["words"]] for record in of_image.values()]
        assert all(of_method == words[0] for of_method in words)
        for record in of_image.values():
            for word in record["words"]:
                assert all(0 <= value <= 1 for value in word["gone"])
    words = len(next(iter(found.values()))["grad-cam"]["words"])
    assert encoded[:2] == [1, min(32, (words + DRAWS + 2) * len(SHARES))]
    records = {method: {name: found[name][method] for name in found} for method in task.methods}
    tables = task.tables(records)
    assert [row[0] for row in tables[0].rows] == list(task.methods)
    assert json.dumps(records, allow_nan=False)
    shown = task.example(subject, next(iter(found)), task.methods)
    assert set(shown.maps) == set(task.methods)


def test_an_unknown_method(captioner, task):
    with pytest.raises(UserError, match="got 'lrq'"):
        _ = RemovalTask(task.data, chosen="lrq").methods
