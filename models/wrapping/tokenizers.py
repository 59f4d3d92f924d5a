"""The words of a captioner and their numbers, from whatever tokenizer it was trained with."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gazeback.models.caption_generator import NO_WORD
from gazeback.models.errors import ModelError, UserError
from gazeback.models.reading import decode_json, read_text

KERAS_UNKNOWN = "[UNK]"
EXPECTED = (
    "a dict of words to numbers, a list of words, a TextVectorization or StringLookup layer, or the JSON of "
    "a Keras Tokenizer"
)
_PUNCTUATION = string.punctuation + "\u201c\u201d\u2018\u2019\u2026\u2013\u2014"


@dataclass(frozen=True)
class TokenizerWords:
    """A tokenizer's words; a word's number is its place in ``words``, ``""`` where a number has no word.

    ``start``, ``end``, ``unknown`` and ``pad`` are numbers, ``NO_WORD`` where there is none.
    """

    words: tuple[str, ...]
    start: int
    end: int
    unknown: int
    pad: int
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = {word: number for number, word in enumerate(self.words) if word}
        object.__setattr__(self, "_numbers", numbers)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return self._numbers.get(word, NO_WORD) not in (NO_WORD, *self.special)

    @property
    def special(self) -> tuple[int, ...]:
        """The numbers that stand for no word of a caption."""
        return self.start, self.end, self.unknown, self.pad

    def tokenize(self, text: str) -> list[str]:
        """Split a caption into words. A word of the vocabulary stays whole; others end at punctuation."""
        if not any(word != word.lower() for word in self.words):
            text = text.lower()
        pieces = text.replace("\u2019", "'").split()
        if pieces and self._numbers.get(pieces[0]) == self.start:
            pieces = pieces[1:]
        if pieces and self._numbers.get(pieces[-1]) == self.end:
            pieces = pieces[:-1]
        return [word for piece in pieces for word in self._words_of(piece)]

    def _words_of(self, piece: str) -> list[str]:
        """Split a piece between spaces in the first way of which the vocabulary knows all words."""
        bare = piece.strip(_PUNCTUATION)
        split = "".join(" " if letter in _PUNCTUATION else letter for letter in piece).split()
        joined = "".join(letter for letter in piece if letter not in _PUNCTUATION)
        ways = ([piece], [bare], split, [joined])
        known = (way for way in ways if way and all(word in self for word in way))
        return next(known, [bare] if bare else [])

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The numbers of words; a word that is not in the vocabulary becomes ``unknown``.

        Raises:
            UserError: there is no unknown word.
        """
        return [self._number(token) for token in tokens]

    def _number(self, token: str) -> int:
        if token not in self and self.unknown == NO_WORD and self._numbers.get(token) is None:
            close = get_close_matches(token, self._numbers, n=3)
            hint = f"; close words: {', '.join(close)}" if close else ""
            raise UserError(
                f"{token!r} is none of the captioner's {len(self._numbers)} words, and it has no unknown word"
                f"{hint}"
            )
        return self._numbers.get(token, self.unknown)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words with these numbers."""
        return [self.words[number] for number in ids]


@dataclass(frozen=True)
class Numbered:
    """The words of a tokenizer by number, its unknown word, and the possible numbers of scores.

    ``sizes``: numbers of scores that fit it.
    """

    words: tuple[str, ...]
    unknown: str | None
    sizes: tuple[int, ...]


def read(tokenizer: Any) -> Numbered:
    """The words of a tokenizer.

    Raises:
        ModelError: it is none of the kinds that are known.
    """
    if hasattr(tokenizer, "get_vocabulary"):
        return _of_layer(tokenizer)
    if isinstance(tokenizer, str | Path):
        return _of_json(tokenizer)
    if isinstance(tokenizer, Mapping) and "config" in tokenizer:
        return _of_config(tokenizer["config"])
    if hasattr(tokenizer, "word_index"):  # a Keras Tokenizer itself
        unknown, limit = getattr(tokenizer, "oov_token", None), getattr(tokenizer, "num_words", None)
        return _of_index(tokenizer.word_index, unknown, limit)
    if isinstance(tokenizer, Mapping):
        return _of_index(tokenizer, None, None)
    if isinstance(tokenizer, Sequence) and tokenizer and all(isinstance(w, str | None) for w in tokenizer):
        words = tuple(word or "" for word in tokenizer)
        return Numbered(words, None, (len(words),))
    raise ModelError(f"tokenizer: expected {EXPECTED}; got a {type(tokenizer).__name__}")


def _of_layer(layer: Any) -> Numbered:
    """A ``TextVectorization`` or ``StringLookup``: its first words are padding and the unknown word."""
    words = tuple(str(word) for word in layer.get_vocabulary())
    if not words or (len(words) <= 2 and all(word in ("", KERAS_UNKNOWN) for word in words)):
        raise ModelError(
            f"tokenizer: {layer.name!r} has no words yet; call its adapt or set_vocabulary first"
        )
    most = getattr(layer, "_max_tokens", None) or getattr(layer, "max_tokens", None)
    sizes = (len(words), most) if most else (len(words),)
    unknown = KERAS_UNKNOWN if KERAS_UNKNOWN in words else None
    return Numbered(words, unknown, sizes)


def _of_json(source: str | Path) -> Numbered:
    text, name = str(source), "tokenizer"
    if not text.lstrip().startswith(("{", "[")):
        name = f"tokenizer {source}"
        text = read_text(Path(source), EXPECTED, ModelError)
    return read(decode_json(text, Any, name, EXPECTED, ModelError))


def _of_config(config: Mapping[str, Any]) -> Numbered:
    """The configuration of a Keras Tokenizer, whose own parts are JSON again."""
    index = config.get("word_index")
    if index is None:
        raise ModelError(f'tokenizer: its JSON has no "word_index"; expected {EXPECTED}')
    if isinstance(index, str):
        index = decode_json(index, dict[str, Any], "tokenizer: word_index", EXPECTED, ModelError)
    return _of_index(index, config.get("oov_token"), config.get("num_words"))


def _of_index(index: Mapping[Any, Any], unknown: str | None, limit: int | None) -> Numbered:
    """Words to numbers, or numbers to words. ``limit``: the numbers that a Tokenizer gives stay below it."""
    if index and all(isinstance(word, str) for word in index.values()):
        index = {word: number for number, word in index.items()}
    try:
        numbers = {str(word): int(number) for word, number in index.items()}
    except (TypeError, ValueError):
        raise ModelError(f"tokenizer: a dict that is not of words to numbers; expected {EXPECTED}") from None
    if not numbers:
        raise ModelError(f"tokenizer: an empty dict; expected {EXPECTED}")
    if min(numbers.values()) < 0 or len(set(numbers.values())) < len(numbers):
        raise ModelError("tokenizer: two words have the same number, or a number is negative")
    most = max(numbers.values()) + 1
    # A vocabulary is often counted with one number to spare, for padding.
    sizes = (most, most + 1) if limit is None or limit > most else (limit, most, most + 1)
    words = [""] * most
    for word, number in numbers.items():
        words[number] = word
    return Numbered(tuple(words), unknown, sizes)


def words_of(
    numbered: Numbered,
    scores: int,
    start: str | int | None,
    end: str | int | None,
    unknown: str | int | None,
    pad: str | int | None,
) -> TokenizerWords:
    """The words for a captioner with this many scores.

    Raises:
        ModelError: the captioner was trained with another tokenizer, or a special word is missing.
    """
    if scores not in numbered.sizes:
        raise ModelError(
            f"the captioner scores {scores} words and the tokenizer numbers {len(numbered.words)} (0 to "
            f"{len(numbered.words) - 1}); pass the tokenizer that it was trained with, or a list of {scores} "
            "words, None where a number has none"
        )
    words = (*numbered.words, *[""] * scores)[:scores]
    return TokenizerWords(
        words,
        _special(words, start, "start"),
        _special(words, end, "end"),
        _special(words, numbered.unknown if unknown is None else unknown, "unknown"),
        _padding(words, pad),
    )


def _special(words: Sequence[str], given: str | int | None, what: str) -> int:
    if given is None:
        return NO_WORD
    if isinstance(given, int):
        if 0 <= given < len(words):
            return given
        raise ModelError(f"{what}: no word has the number {given}; there are {len(words)}, from 0")
    if given in words and given:
        return words.index(given)
    close = get_close_matches(given, [word for word in words if word], n=3, cutoff=0.4)
    hint = f" (close: {', '.join(map(repr, close))})" if close else ""
    raise ModelError(
        f"{what}: the tokenizer has no word {given!r}{hint}; pass {what}= as the captioner was trained with, "
        f"or None where it has none"
    )


def _padding(words: Sequence[str], given: str | int | None) -> int:
    if isinstance(given, str):
        return _special(words, given, "pad")
    return NO_WORD if given is None else given
