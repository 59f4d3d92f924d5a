"""Kinds of words and stems."""

import doctest

import pytest

from gazeback.eval.metrics import words as object_words_module
from gazeback.eval.metrics import words as word_kinds
from gazeback.eval.metrics.words import (
    COLOUR,
    FUNCTION,
    ING,
    NOUN,
    OTHER,
    is_ing_verb,
    kind_of,
    object_words,
    stem,
)


@pytest.mark.parametrize("module", [word_kinds, object_words_module])
def test_the_examples(module):
    found = doctest.testmod(module)
    assert found.attempted >= 1
    assert found.failed == 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FUNCTION, "a the of with and is in 's two many behind"),
        (COLOUR, "red blue blond grey"),
        (ING, "running sitting wearing"),
        (NOUN, "dog people building ring wedding thing family face skis"),
        (OTHER, "young runs small quickly dressed"),
    ],
)
def test_kinds(kind, words):
    assert {kind_of(word) for word in words.split()} == {kind}


def test_short_words_are_no_verbs_in_ing():
    assert [is_ing_verb(word) for word in ("king", "sing", "going", "clothing")] == [
        False,
        False,
        True,
        False,
    ]


def test_stems():
    assert stem("Dogs") == stem("dog")
    assert stem("jumping") == stem("jumps")
    assert stem("cat") != stem("car")


def test_words_of_a_category_are_of_one_class():
    assert object_words(["puppy", "dogs", "girl"]) == [(1, "dog"), (2, "person")]
    assert object_words(["a", "hot", "dog"]) == [(2, "hot dog")]
    assert object_words(["he", "is", "red", "and", "running"]) == []


def test_a_word_for_several_categories_is_a_class_of_its_own():
    assert object_words(["vehicle"]) == [(0, stem("vehicle"))]
