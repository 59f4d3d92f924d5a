"""Tokenise captions, and map a captioner's words to numbers and back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

START, END, UNKNOWN = "<start>", "<end>", "<unknown>"
_SPECIAL = (START, END, UNKNOWN)
SAID_TWICE = 0.05


def tokenize(text: str) -> list[str]:
    """Split a caption into lower-case words; punctuation is dropped, ``man's`` becomes ``man`` and ``'s``.

    Uses NLTK's improved Treebank rules, which need no downloaded data. These split a full stop from its word
    only at the end of the text. Here it is split everywhere, because a caption may have several sentences.
    """
    pieces = _tokenizer().tokenize(text.lower().replace("\u2019", "'"))
    words = (piece.strip('.,;:!?"`*_~|/\\()[]{}<>-\u201c\u201d\u2026') for piece in pieces)
    return [word for word in words if any(character.isalnum() for character in word)]


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # brings SciPy's statistics: a second, for which few runs ask

    return NLTKWordTokenizer()


@dataclass(frozen=True)
class Vocabulary:
    """A captioner's words; a word's number is its index in ``words``. The first three are start, end and
    unknown.
    """

    words: tuple[str, ...]
    start: int = 0
    end: int = 1
    unknown: int = 2
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.words[:3] != _SPECIAL:
            raise ValueError(f"a vocabulary starts with {', '.join(_SPECIAL)}; got {self.words[:3]}")
        numbers = {word: number for number, word in enumerate(self.words)}
        if len(numbers) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"a vocabulary holds each word once; {twice!r} comes twice")
        object.__setattr__(self, "_numbers", numbers)

    @classmethod
    def from_captions(cls, captions: Iterable[Sequence[str]], min_count: int = 5) -> "Vocabulary":
        """Keep the words that occur at least ``min_count`` times, most frequent first (ties in
        alphabetical order).
        """
        counts = Counter(word for caption in captions for word in caption)
        kept = sorted(
            (word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word)
        )
        return cls(_SPECIAL + tuple(kept))

    def said_once(self, captions: Iterable[Sequence[str]]) -> tuple[int, ...]:
        """The numbers of the words that hardly a caption says twice: fewer than ``SAID_TWICE`` of those
        that say it.
        """
        said, twice = Counter[str](), Counter[str]()
        for caption in captions:
            counts = Counter(caption)
            said.update(counts.keys())
            twice.update(word for word, count in counts.items() if count > 1)
        return tuple(self._numbers[word] for word in self.words if twice[word] < SAID_TWICE * said[word])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._numbers and word not in _SPECIAL

    def tokenize(self, text: str) -> list[str]:
        """Tokenise as :func:`tokenize` does."""
        return tokenize(text)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the words' numbers; a word that is not in the vocabulary becomes ``unknown``."""
        return [self._numbers[token] if token in self else self.unknown for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words with these numbers."""
        return [self.words[number] for number in ids]
