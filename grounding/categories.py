"""Which of COCO's 80 categories a caption's words name: "two puppies" names "dog"."""

from collections.abc import Iterable, Sequence
from functools import cache

from nltk.stem.snowball import SnowballStemmer

from gazeback.grounding.synonyms import ANIMALS, NAMING_NOTHING, SYNONYMS

Key = tuple[str, ...]


class CategoryNames:
    """The categories of one annotation file, and the words that name them."""

    def __init__(self, categories: Iterable[str]) -> None:
        self.categories = tuple(categories)
        self._named: dict[Key, tuple[str, ...]] = {_key(phrase.split("_")): () for phrase in NAMING_NOTHING}
        for category in self.categories:
            for phrase in _phrases(category):
                key = _key(phrase)
                others = tuple(other for other in self._named.get(key, ()) if other != category)
                self._named[key] = (*others, category)
        self._longest = max((len(key) for key in self._named), default=1)

    def named_by(self, words: Sequence[str]) -> dict[int, tuple[str, ...]]:
        """Word index -> the categories that it names, alone or with its neighbours; other words are left out.

        The longest phrase counts: both words of "hot dog" name "hot dog", and none names "dog".

        >>> CategoryNames(["dog", "hot dog"]).named_by("two puppies eat a hot dog".split())
        {1: ('dog',), 4: ('hot dog',), 5: ('hot dog',)}
        """
        named: dict[int, tuple[str, ...]] = {}
        start = 0
        while start < len(words):
            length, categories = self._longest_phrase(words[start : start + self._longest])
            if categories:
                named.update(dict.fromkeys(range(start, start + length), categories))
            start += length
        return named

    def _longest_phrase(self, words: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        for length in range(len(words), 0, -1):
            key = _key(words[:length])
            if key in self._named:
                return length, self._named[key]
        return 1, ()


def _phrases(category: str) -> list[list[str]]:
    synonyms = [synonym.split("_") for synonym in SYNONYMS.get(category, "").split()]
    general = [["animal"]] if category in ANIMALS else []
    return [category.replace("_", " ").split(), *synonyms, *general]


def _key(words: Sequence[str]) -> Key:
    return tuple(_stem(word.lower()) for word in words)


@cache
def _stem(word: str) -> str:
    """The word without its plural ending.

    Words for doing keep theirs: "training", "tied" and "snowboarder" name no train, no tie and no snowboard.
    """
    word = word[:-1] if word.endswith("ers") else word
    return word if word.endswith(("er", "ing", "ed")) else str(_stemmer().stem(word))


@cache
def _stemmer() -> SnowballStemmer:
    return SnowballStemmer("english")
