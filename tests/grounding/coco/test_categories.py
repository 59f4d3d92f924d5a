"""Words of captions and the categories they name."""

import pytest

from gazeback.grounding.coco.categories import ANIMALS, SYNONYMS, CategoryNames

COCO = CategoryNames(SYNONYMS)


def named(sentence: str) -> dict[str, str]:
    words = sentence.split()
    return {words[index]: ", ".join(categories) for index, categories in COCO.named_by(words).items()}


def test_there_are_eighty_categories_and_each_names_itself() -> None:
    assert len(SYNONYMS) == 80
    for category in SYNONYMS:
        words = category.split()
        assert COCO.named_by(words) == dict.fromkeys(range(len(words)), (category,))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a man on a bike", {"man": "person", "bike": "bicycle"}),
        ("Women and Children", {"Women": "person", "Children": "person"}),
        ("puppies chase geese", {"puppies": "dog", "geese": "bird"}),
        ("three mice , two knives", {"mice": "mouse", "knives": "knife"}),
        ("buses benches", {"buses": "bus", "benches": "bench"}),
        ("sandwiches skis", {"sandwiches": "sandwich", "skis": "skis"}),
        ("snowboarders officers", {"snowboarders": "person", "officers": "person"}),
        ("a hot dog near a dog .", {"hot": "hot dog", "dog": "dog"}),
        ("teddy bears", {"teddy": "teddy bear", "bears": "teddy bear"}),
        ("traffic lights", {"traffic": "traffic light", "lights": "traffic light"}),
        ("dirt bike race", {"dirt": "motorcycle", "bike": "motorcycle"}),
        ("a baseball player", {"baseball": "person", "player": "person"}),
        ("luggage", {"luggage": "backpack, suitcase"}),
        ("animals", {"animals": ", ".join(ANIMALS)}),
    ],
)
def test_synonyms_plurals_and_phrases(sentence: str, expected: dict[str, str]) -> None:
    assert named(sentence) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "a baseball field",
        "training in an office",
        "tied to a train station",
        "a couple of",
        "the in of red",
        "",
    ],
)
def test_words_that_name_no_category(sentence: str) -> None:
    assert named(sentence) == {}


def test_other_annotation_files_have_their_own_categories() -> None:
    names = CategoryNames(["red_panda", "dog"])
    assert names.named_by(["two", "red", "pandas", "and", "a", "cat"]) == {
        1: ("red_panda",),
        2: ("red_panda",),
    }


def test_no_categories_name_nothing() -> None:
    assert CategoryNames([]).named_by(["a", "dog"]) == {}
