"""Captions of scenes: the grammar, what each word is about, and which captions are right."""

import re

import numpy as np
import pytest

from gazeback.eval.scenes.captions import (
    CLEARLY,
    ENDINGS,
    KINDS,
    VISUAL_KINDS,
    drawn,
    fixed,
    misled,
    relation_of,
    right,
)
from gazeback.eval.scenes.drawing import SHAPES
from gazeback.eval.scenes.scenes import COLOURS, Scene, Thing, scene
from gazeback.models.scene_networks import WORDS

SOME = [scene(4, index) for index in range(80)]
THING = rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
LIST = rf"a (big|small) {THING} and a (big|small) {THING}"
RELATION = rf"a {THING} (left of|right of|above|below) a {THING}"
GRAMMAR = re.compile(rf"(look ({LIST}|{RELATION}) here|see ({LIST}|{RELATION}) there)")


def text(caption) -> str:
    return " ".join(word.text for word in caption)


def made(*things: Thing) -> Scene:
    """A scene of which only the things matter."""
    masks = np.zeros((len(things), 8, 8), bool)
    for number in range(len(things)):
        masks[number, number, number] = True
    return Scene(0, 0, np.zeros((8, 8, 3), np.uint8), things, masks)


BIG_RED = Thing("big", "red", "circle", 30.0, 20.0, 16.0, 0.0)
SMALL_BLUE = Thing("small", "blue", "square", 34.0, 70.0, 10.0, 0.0)
SMALL_GREEN = Thing("small", "green", "star", 80.0, 72.0, 10.0, 0.0)


def test_captions_are_in_the_grammar_and_true():
    for s in SOME:
        captions = fixed(s)
        assert 1 <= len(captions) <= 2
        for caption in captions:
            assert GRAMMAR.fullmatch(text(caption))
            assert tuple(word.text for word in caption) in right(s)
        assert all(GRAMMAR.fullmatch(" ".join(words)) for words in right(s))
        assert all(word in WORDS for words in right(s) for word in words)


def test_captions_are_the_same_every_time_but_drawn_differently():
    assert [text(c) for s in SOME for c in fixed(s)] == [text(c) for s in SOME for c in fixed(s)]
    random = np.random.default_rng(0)
    assert len({text(drawn(SOME[0], random)[0]) for _ in range(20)}) > 1


def test_a_misled_caption_begins_with_a_thing_of_another_scene():
    here, other = made(BIG_RED, SMALL_BLUE), made(SMALL_GREEN)
    random = np.random.default_rng(0)
    captions = [misled(here, other, random) for _ in range(20)]
    assert {text(caption[1:-1]) for caption in captions} == {
        "a small green star and a big red circle",
        "a small green star and a small blue square",
    }
    for caption in captions:
        assert ENDINGS[caption[0].text] == caption[-1].text
        named = [word for word in caption if word.kind in VISUAL_KINDS]
        assert [bool(word.things) for word in named] == [False] * 3 + [True] * 3


def test_a_misled_caption_of_a_scene_with_the_same_thing_takes_its_words_to_be_about_nothing():
    caption = misled(made(BIG_RED, SMALL_BLUE), made(BIG_RED), np.random.default_rng(0))
    assert [word.things for word in caption if word.text in ("red", "circle")][:2] == [(), ()]


def test_every_word_has_its_mask_and_function_words_none():
    for s in SOME:
        for caption in fixed(s):
            for word in caption:
                assert word.kind in KINDS
                mask = word.mask(s)
                assert (mask is not None) == (word.kind in VISUAL_KINDS) == bool(word.things)
                if word.kind in ("colour", "shape"):
                    (number,) = word.things
                    assert getattr(s.things[number], word.kind) == word.text
                    assert np.array_equal(mask, s.masks[number])
                if word.kind == "size":
                    assert {s.things[number].size for number in word.things} == {word.text}
                if word.kind == "relation":
                    first, second = word.things
                    assert relation_of(s.things[first], s.things[second]) == word.text
                    assert np.array_equal(mask, s.masks[first] | s.masks[second])


def test_a_word_of_size_is_about_all_that_it_can_still_mean():
    s = made(BIG_RED, SMALL_BLUE, SMALL_GREEN)
    sizes = {}
    random = np.random.default_rng(1)
    for _ in range(100):
        caption = drawn(s, random)[0]
        sizes[text(caption[1:-1])] = [set(word.things) for word in caption if word.kind == "size"]
    assert sizes["a small blue square and a small green star"] == [{1, 2}, {2}]
    assert sizes["a big red circle and a small green star"] == [{0}, {1, 2}]
    assert sizes["a small green star and a big red circle"] == [{1, 2}, {0}]


def test_the_captions_of_a_scene_by_hand():
    ones = right(made(BIG_RED, SMALL_BLUE))
    inner = [
        "a big red circle and a small blue square",
        "a small blue square and a big red circle",
        "a red circle left of a blue square",
        "a blue square right of a red circle",
    ]
    assert ones == {tuple(f"{o} {i} {e}".split()) for i in inner for o, e in ENDINGS.items()}


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (30, 10, "left"),
        (30, 50, "right"),
        (10, 30, "above"),
        (50, 30, "below"),
        (30 + 10, 30 + 10, None),
        (30 + 10, 30 + 10 * CLEARLY, "right"),
        (30 - 10 * CLEARLY, 30 - 10, "above"),
    ],
)
def test_relations(row: float, column: float, expected: str | None):
    one = Thing("big", "red", "circle", row, column, 16.0, 0.0)
    assert relation_of(one, Thing("small", "blue", "square", 30.0, 30.0, 10.0, 0.0)) == expected


def test_the_ending_follows_from_the_opening_and_the_opening_from_chance():
    captions = [caption for s in SOME for caption in fixed(s)]
    openings = [caption[0].text for caption in captions]
    assert [caption[-1].text for caption in captions] == [ENDINGS[opening] for opening in openings]
    assert {caption[0].kind for caption in captions} == {"chance"}
    assert {caption[-1].kind for caption in captions} == {"habit"}
    assert 0.35 < openings.count("look") / len(openings) < 0.65


def test_a_scene_without_a_clear_relation_has_a_list_alone():
    oblique = Thing("small", "blue", "square", 60.0, 50.0, 10.0, 0.0)
    random = np.random.default_rng(0)
    (caption,) = drawn(made(BIG_RED, oblique), random)
    assert "and" in text(caption)
