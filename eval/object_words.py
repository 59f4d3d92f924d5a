"""Words for objects: which of a sentence's words name one, and which of them name the same.

Two words are of one class if both name the same COCO category ("man" and "girl" a person, "puppy" a dog;
`gazeback.grounding.categories`), or have the same stem. Pronouns, colours and verbs name no object.
"""

from collections.abc import Sequence
from functools import cache

from gazeback.eval.word_kinds import NOUN, kind_of, stem
from gazeback.grounding.categories import CategoryNames
from gazeback.grounding.synonyms import SYNONYMS


def object_words(words: Sequence[str]) -> list[tuple[int, str]]:
    """Places from 0 and classes of the words for objects; of "hot dog" the last word stands for both.

    >>> object_words("two puppies chase a man on the grass".split())
    [(1, 'dog'), (4, 'person'), (7, 'grass')]
    """
    named = _names().named_by(words)
    found = []
    for position, word in enumerate(words):
        categories = named.get(position, ())
        if len(categories) == 1:
            if named.get(position + 1) != categories:
                found.append((position, categories[0]))
        elif kind_of(word) == NOUN:
            found.append((position, stem(word)))
    return found


@cache
def _names() -> CategoryNames:
    return CategoryNames(SYNONYMS)
