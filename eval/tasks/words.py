"""`gazeback evaluate words`: which words need the picture?

It measures the visual share by kind of word in ground-truth sentences. The share is counterfactual:
`visual = log p(word | photo, words before) - log p(word | mean picture, words before)` in nats, and
`visual_share = max(0, 1 - exp(-visual))`. Unknown words are left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.image import PhraseImage, Sentence, Words
from gazeback.eval.harness.means import strata_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records, skipped_line
from gazeback.eval.metrics.statistics import Mean, Summary, grouped_mean
from gazeback.eval.metrics.words import COLOUR, COLOURS, FUNCTION, ING, NOUN, OTHER, is_ing_verb
from gazeback.eval.subjects.captioner import (
    CaptionerSubject,
    PhraseTask,
    first_of,
    left_out,
    model_input,
    teacher_forced,
)
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.photos import load_photo
from gazeback.models.vocabulary import tokenize

FUNCTION_WORDS = frozenset({"a", "the", "in", "of", "with", "and", "is", "on"})
"""The most frequent kinds, which have figures."""

PRONOUNS = frozenset(
    tokenize(
        "i you he him his she her hers it its we us they them their one ones another other others each some "
        "something someone somebody that this these those which who whom what himself herself itself "
        "themselves"
    )
)

KINDS = (FUNCTION, NOUN, COLOUR, ING, OTHER)

POSITIONS = ((1, "1"), (2, "2"), (3, "3"), (4, "4"), (6, "5 to 6"), (9, "7 to 9"), (12, "10 to 12"))

LAST_POSITIONS = "13 and more"

SHARE = "visual share"


@dataclass(frozen=True)
class WordShare:
    """A word of a sentence: its kind, its position from 1, and the nats that the photo adds."""

    kind: str
    position: int
    visual: float


@dataclass(frozen=True)
class WordsTask(PhraseTask):
    """Measures the visual share of words; there is one answer per word, so one "method"."""

    name: ClassVar[str] = "words"
    needs_mean: ClassVar[bool] = True
    methods = (SHARE,)

    def score(self, record: Record) -> float | None:
        """The mean visual share of an image's nouns."""
        nouns = [word.visual for word in _words(record) if word.kind == NOUN]
        return float(visual_share(np.array(nouns)).mean()) if nouns else None

    def tables(self, records: Records) -> list[Table]:
        """Tables of visual share and nats by kind of word, and of the share by position."""
        words = {name: _words(record) for name, record in records[SHARE].items()}
        rows = [
            (kind, [row["visual"]["n"], Summary(**row["visual_share"]), Summary(**row["visual"])])
            for kind, row in summarise(words).items()
        ]
        notes = [f"{len(words)} photos; ± standard error over photos"]
        notes += skipped_line(left_out(records[SHARE].values()))
        places = [
            (place, [Summary(**of_kind[place]) for of_kind in by_position(words).values()])
            for place in [name for _, name in POSITIONS] + [LAST_POSITIONS]
        ]
        return [
            strata_table("How visual is a word", ("n", "visual share", "visual, nats"), rows, "words", notes),
            Table("Visual share by position in the sentence", ("all words", *KINDS), places, head="word"),
        ]

    def details(self, records: Records) -> dict[str, Any]:
        words = {name: _words(record) for name, record in records[SHARE].items()}
        return {
            "kinds": summarise(words),
            "positions": by_position(words),
            "left out": dict(left_out(first_of(records).values())),
        }

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        return {name: dict.fromkeys(methods, self._record(subject, name)) for name in names}

    def _record(self, subject: CaptionerSubject, name: str) -> Record:
        skipped: Counter[str] = Counter()
        image = self.images[name]
        pixels, _ = model_input(image.path, subject.captioner.side)
        found = measured(subject.captioner, image, pixels, skipped)
        return {
            "words": [[word.kind, word.position, word.visual] for word in found],
            "left out": dict(skipped),
        }

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The photo with the first sentence and the visual share of each of its words."""
        image = self.images[name]
        words = next(
            (
                w
                for w in (
                    Words.of(s, subject.captioner.vocabulary, subject.captioner.limit)
                    for s in image.sentences
                )
                if w.ids
            ),
            None,
        )
        if words is None:
            return None
        pixels, _ = model_input(image.path, subject.captioner.side)
        features = np.asarray(subject.captioner.features(pixels[None]))
        shares = visual_share(visual_nats(subject.captioner, features, [words.ids])[0])
        title = " ".join(f"{word} {share:.2f}" for word, share in zip(words.words, shares, strict=True))
        return Example(load_photo(image.path).pixels, {}, title=title)


def _words(record: Record) -> list[WordShare]:
    return [WordShare(*word) for word in record["words"]]


def measured(
    captioner: CaptionGenerator, image: PhraseImage, pixels: np.ndarray, skipped: Counter[str]
) -> list[WordShare]:
    """Measure the words of an image's sentences; `skipped` counts unknown words.

    `pixels` float32 [size, size, 3] is the photo as the captioner reads it.
    """
    sentences = [(s, Words.of(s, captioner.vocabulary, captioner.limit)) for s in image.sentences]
    sentences = [(sentence, words) for sentence, words in sentences if words.ids]
    if not sentences:
        return []
    features = np.asarray(captioner.features(pixels[None]))
    visuals = visual_nats(captioner, features, [words.ids for _, words in sentences])
    found: list[WordShare] = []
    for (sentence, words), visual in zip(sentences, visuals, strict=True):
        known = [word != captioner.vocabulary.unknown for word in words.ids]
        skipped["unknown word"] += known.count(False)
        every = zip(kinds_of(sentence, words), visual.tolist(), strict=True)
        found += [WordShare(kind, i + 1, nats) for i, (kind, nats) in enumerate(every) if known[i]]
    return found


def visual_nats(
    captioner: CaptionGenerator, features: np.ndarray, captions: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Compute the nats that the photo adds to each word's log-probability: one float array [words] per
    caption.

    `features` float32 [1, h, w, C] is one photo's last map; captions are ids without start and end, of any
    lengths.
    """
    inputs = teacher_forced(captioner.vocabulary, captions)
    assert captioner.mean_features is not None
    mean = np.broadcast_to(captioner.mean_features, features.shape)
    pictures = np.repeat(np.concatenate([features, mean]), len(captions), axis=0)
    photo, without = np.split(captioner.log_probabilities(pictures, np.tile(inputs, (2, 1))), 2)
    added = photo - without
    return [added[i, np.arange(len(ids)), list(ids)] for i, ids in enumerate(captions)]


def visual_share(visual: np.ndarray) -> np.ndarray:
    """Compute the fraction 0..1 of a word's probability that the picture contributed, from nats."""
    return 1 - np.exp(-np.maximum(visual, 0))


def summarise(words_of_images: Mapping[str, Sequence[WordShare]]) -> dict[str, Any]:
    """Compute means of the visual share and of the nats by kind of word; photos are the groups of the
    standard errors."""
    table: dict[str, Any] = {}
    for kind in KINDS:
        nats = {
            image: np.array([word.visual for word in words if word.kind == kind])
            for image, words in words_of_images.items()
        }
        shares = {image: visual_share(of_image) for image, of_image in nats.items()}
        means = {"visual_share": grouped_mean(shares), "visual": grouped_mean(nats)}
        table[kind] = {name: mean.as_json() for name, mean in means.items()}
    return table


def by_position(words_of_images: Mapping[str, Sequence[WordShare]]) -> dict[str, dict[str, Any]]:
    """Compute the visual share of all words and of each kind, by the word's position in its sentence."""
    places = [name for _, name in POSITIONS] + [LAST_POSITIONS]
    means = {kind: {place: Mean() for place in places} for kind in ("all words", *KINDS)}
    for image, words in words_of_images.items():
        shares = visual_share(np.array([word.visual for word in words]))
        for word, share in zip(words, shares.tolist(), strict=True):
            for kind in ("all words", word.kind):
                means[kind][place_of(word.position)].update(share, group=image)
    return {
        kind: {place: mean.summary().as_json() for place, mean in row.items()} for kind, row in means.items()
    }


def place_of(position: int) -> str:
    """The name of the group of positions that contains a word's position, from 1."""
    return next((name for last, name in POSITIONS if position <= last), LAST_POSITIONS)


def kinds_of(sentence: Sentence, words: Words) -> list[str]:
    """The kind of each word.

    Nouns are the last words of phrases of a visual type, except colours and pronouns. Verbs in -ing are found
    by their suffix."""
    heads = {
        max(
            (p for p, token in enumerate(words.token_of) if phrase.first <= token < phrase.last), default=None
        )
        for phrase in sentence.phrases
        if "notvisual" not in phrase.types
    }
    return [_kind(word, position in heads) for position, word in enumerate(words.words)]


def _kind(word: str, heads_phrase: bool) -> str:
    if word in FUNCTION_WORDS:
        return FUNCTION
    if word in COLOURS:
        return COLOUR
    if heads_phrase and word not in PRONOUNS:
        return NOUN
    return ING if is_ing_verb(word) else OTHER
