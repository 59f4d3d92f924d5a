"""Which words of an English caption have a content that a photo can show, and when two of them agree."""

from collections.abc import Iterable
from functools import cache

_WORDS = """
a an the this that these those some any each every another other others both all several few many much
more most no not n't 's s i you he him his she her hers it its we us our they them their one ones who
whom whose which what where when while whilst something someone somebody anything nothing everyone
himself herself itself themselves there here in on at of to from with without by for into onto over
under up down off out through across along around about above below behind beside besides between among
amongst against near nearby next toward towards past inside outside underneath beneath during before
after upon within like than as until via per amid and or but nor so yet if then because also too very
just only even still again is are was were be been being am do does did has have had can could will
would may might must should two three four five six seven eight nine ten dozen lot lots couple pair
group
"""

FUNCTION_WORDS = frozenset(_WORDS.split())
"""Articles, pronouns, prepositions, numbers and the like."""


def is_content(word: str) -> bool:
    """Whether a word in lower case says something about the photo: it begins with a letter, and is no
    function word.

    >>> [word for word in "two dogs are running in the 2nd snow".split() if is_content(word)]
    ['dogs', 'running', 'snow']
    """
    return word not in FUNCTION_WORDS and word[:1].isalpha()


@cache
def stem(word: str) -> str:
    """The stem of a word (Porter, *An algorithm for suffix stripping*, 1980): that of "dogs" is "dog"."""
    from nltk.stem.porter import PorterStemmer  # brings SciPy's statistics, which take a second

    return str(PorterStemmer().stem(word))


def stems(captions: Iterable[Iterable[str]]) -> frozenset[str]:
    """The stems of all words of some captions."""
    return frozenset(stem(word) for caption in captions for word in caption)
