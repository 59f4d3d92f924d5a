"""`gazeback evaluate removal`: does a generated word disappear without its pixels?

The captioner captions a photo. For each content word (the first of equal stems), the strongest 10 and 20 % of
the pixels of a method's map are removed (`gazeback.eval.perturbations.removal`), and the photo is captioned
again, by the same search. Three figures are measured: whether the word, by its stem, is gone; the fraction of
the caption's other content words that are gone, which separates a map of this word from a map of everything;
and the drop of the word's log-probability, given the words before it. For comparison, as many pixels are
removed at random (smooth blobs), in the middle (a disc), and where the activation map points. These do not
depend on the word.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.captions import CaptionData
from gazeback.eval.harness.means import strata_table
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.metrics.statistics import Summary, grouped_mean
from gazeback.eval.metrics.words import CONTENT, kind_of, stem
from gazeback.eval.perturbations.removal import (
    BLOB,
    BLUR,
    NEAR,
    blurred,
    disc,
    random_blobs,
    removed,
    strongest,
)
from gazeback.eval.subjects.captioner import (
    CaptionerSubject,
    CaptionerTask,
    Question,
    model_input,
    teacher_forced,
)
from gazeback.eval.subjects.methods import ACTIVATION, CENTRE, chosen_methods
from gazeback.models.captioner import Caption
from gazeback.models.photos import load_photo

SHARES = (0.1, 0.2)

DRAWS = 3

RANDOM = "random"

BASELINES = (RANDOM, CENTRE, ACTIVATION)
"""These do not depend on the word: one map, or several random draws, is used for all words of a caption."""

AT_ONCE = 32
"""The number of photos that the encoder reads at once."""


@dataclass(frozen=True)
class Word:
    """A content word of a generated caption: its index from 0, text and kind."""

    position: int
    text: str
    kind: str


@dataclass(frozen=True)
class RemovalTask(CaptionerTask):
    """Removes the pixels of words, and captions again.

    `chosen`: names of methods between commas; random, center and activation are added."""

    name: ClassVar[str] = "removal"

    @cached_property
    def methods(self) -> tuple[str, ...]:
        return chosen_methods(self.chosen, BASELINES)

    @cached_property
    def read(self) -> CaptionData:
        return CaptionData(self.data, self.split, self.part, self.limit)

    def cache_key(self) -> dict[str, Any]:
        settings = {"shares": list(SHARES), "draws": DRAWS, "blur": BLUR, "near": NEAR, "blob": BLOB}
        return {**super().cache_key(), **settings}

    def score(self, record: Record) -> float | None:
        """The mean drop of the photo's words in nats, with the smaller fraction removed."""
        return float(np.mean([word["fall"][0] for word in record["words"]])) if record["words"] else None

    def tables(self, records: Records) -> list[Table]:
        """Tables of every fraction, of the first method against the others, and by kind of word."""
        first = self.methods[0]
        photos = len(records[first])
        words = sum(len(record["words"]) for record in records[first].values())
        notes = [
            f"{words} words of {photos} generated captions; ± standard error over photos",
            f"others gone: fraction of the caption's other content words; {RANDOM}: mean of {DRAWS} draws",
        ]
        return [
            *(self._share(records, i, notes) for i in range(len(SHARES))),
            Table(
                f"Word by word: {first}",
                [
                    f"{name} {share:.0%}"
                    for share in SHARES
                    for name in ("gone", "gone - others gone", "fall")
                ],
                [(f"- {other}", _differences(records, first, other)) for other in self.methods[1:]],
            ),
            *(self._kinds(records, i) for i in range(len(SHARES))),
        ]

    def _share(self, records: Records, i: int, notes: Sequence[str]) -> Table:
        columns = ("word gone", "others gone", "difference", "caption changed", "fall, nats")
        figures = ("gone", "others", "difference", "changed", "fall")
        rows = [(method, [mean_of(of, name, i) for name in figures]) for method, of in records.items()]
        return Table(f"{SHARES[i]:.0%} of the pixels removed", columns, rows, notes)

    def _kinds(self, records: Records, i: int) -> Table:
        rows: list[tuple[str, list[Cell]]] = []
        for kind in CONTENT:
            cells = [mean_of(photos, "gone", i, kind) for photos in records.values()]
            rows.append((kind, [cells[0].n, *cells]))
        title = f"Word gone, {SHARES[i]:.0%} removed, by kind"
        return strata_table(title, ("n", *records), rows, "words")

    def details(self, records: Records) -> dict[str, Any]:
        return {"shares": list(SHARES), "draws": DRAWS}

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        found = {name: self._records(subject, name, methods) for name in names}
        return {name: records for name, records in found.items() if records}

    def _records(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> dict[str, Record]:
        """The records of a photo; empty if the caption has no content word."""
        pixels, _ = model_input(self.images[name].path, subject.captioner.side)
        features = np.asarray(subject.captioner.features(pixels[None]))[0]
        caption = subject.captioner.search(features[None])[0][0]
        words = content_words(caption.words)
        if not words:
            return {}
        maps = {
            method: self._maps(subject, method, name, pixels, features, caption, words) for method in methods
        }
        outcomes = self._outcomes(subject, pixels, caption, words, maps)
        return {
            method: {
                "caption": str(caption),
                "words": list(_summed(words, caption.words, outcomes[method], method in BASELINES)),
            }
            for method in methods
        }

    def _maps(
        self, subject: CaptionerSubject, method: str, name: str, pixels: np.ndarray, features: np.ndarray,
        caption: Caption, words: Sequence[Word],
    ) -> list[np.ndarray]:  # fmt: skip
        """Maps float [H, W]: one for each word; of a method that does not depend on the word, the maps that
        are used for all."""
        shape = pixels.shape[:2]
        if method == RANDOM:
            return [random_blobs(shape, name, draw) for draw in range(DRAWS)]
        if method == CENTRE:
            return [disc(shape)]
        positions = [word.position for word in words]
        if method == ACTIVATION:
            positions = positions[:1]
        question = Question(pixels, features, list(caption.ids), positions)
        return list(subject.maps(method, question))

    def _outcomes(
        self, subject: CaptionerSubject, pixels: np.ndarray, caption: Caption, words: Sequence[Word],
        maps: Mapping[str, Sequence[np.ndarray]],
    ) -> dict[str, list[list["Outcome"]]]:  # fmt: skip
        """The outcome of removing each fraction of each map, `[method][map][fraction]`; all photos are in one
        search."""
        masks = [strongest(heat, share) for of_one in maps.values() for heat in of_one for share in SHARES]
        stand_in = blurred(pixels)
        features = [
            np.asarray(
                subject.captioner.features(removed(pixels, stand_in, np.stack(masks[i : i + AT_ONCE])))
            )
            for i in range(0, len(masks), AT_ONCE)
        ]
        found = iter(self._captioned(subject, np.concatenate(features), caption))
        return {method: [[next(found) for _ in SHARES] for _ in of_one] for method, of_one in maps.items()}

    def _captioned(
        self, subject: CaptionerSubject, features: np.ndarray, caption: Caption
    ) -> list["Outcome"]:
        again = subject.captioner.search(features)
        inputs = teacher_forced(subject.captioner.vocabulary, [caption.ids])
        logs = subject.captioner.log_probabilities(features, np.repeat(inputs, len(features), axis=0))
        asked = logs[:, np.arange(len(caption.ids)), list(caption.ids)]
        falls = np.array(caption.logprobs[:-1]) - asked
        return [Outcome(best[0].words, fall) for best, fall in zip(again, falls, strict=True)]

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The word for which the first method's pixels matter most, and the caption without them."""
        records = self._records(subject, name, methods)
        if not records:
            return None
        of_first = records[methods[0]]["words"]
        number = max(range(len(of_first)), key=lambda i: of_first[i]["fall"][0])
        image = self.images[name]
        pixels, _ = model_input(image.path, subject.captioner.side)
        features = np.asarray(subject.captioner.features(pixels[None]))[0]
        caption = subject.captioner.search(features[None])[0][0]
        words = content_words(caption.words)
        maps = {m: self._maps(subject, m, name, pixels, features, caption, words) for m in methods}
        return Example(
            load_photo(image.path).pixels,
            {method: of_one[0 if method in BASELINES else number] for method, of_one in maps.items()},
            title=f"{words[number].text} in: {caption}",
            values={
                method: f"{SHARES[0]:.0%}: {of['words'][number]['again']}" for method, of in records.items()
            },
        )


def mean_of(photos: Mapping[str, Record], what: str, share: int, kind: str | None = None) -> Summary:
    """Compute the mean of a figure over all words; photos are the groups of its error."""
    return grouped_mean(
        {name: [value for _, value in _values(record, what, share, kind)] for name, record in photos.items()}
    )


def _values(record: Record, what: str, share: int, kind: str | None = None) -> Iterator[tuple[int, float]]:
    """The index of the word and the figure, for the words that have it: a caption may have no other content
    word."""
    for word in record["words"]:
        if kind is None or word["kind"] == kind:
            value = _value(word, what, share)
            if value is not None:
                yield word["position"], value


def _value(word: Mapping[str, Any], what: str, share: int) -> float | None:
    if what != "difference":
        found = word[what][share]
        return None if found is None else float(found)
    if word["others"][share] is None:
        return None
    return float(word["gone"][share] - word["others"][share])


def _differences(records: Records, first: str, other: str) -> list[Summary]:
    """Compute one method minus another, word by word."""
    cells = []
    for share in range(len(SHARES)):
        for what in ("gone", "difference", "fall"):
            differences = {}
            for name, record in records[first].items():
                others = dict(_values(records[other][name], what, share))
                values = dict(_values(record, what, share)).items()
                differences[name] = [value - others[place] for place, value in values]
            cells.append(grouped_mean(differences))
    return cells


@dataclass(frozen=True, eq=False)
class Outcome:
    """The caption of a photo with removed pixels, and the drop of each word of the original caption in nats,
    float [words]."""

    caption: tuple[str, ...]
    falls: np.ndarray


def content_words(caption: Sequence[str]) -> list[Word]:
    """The words whose meaning a picture can show; of equal stems the first."""
    found: dict[str, Word] = {}
    for position, text in enumerate(caption):
        if kind_of(text) in CONTENT:
            found.setdefault(stem(text), Word(position, text, kind_of(text)))
    return list(found.values())


def _summed(
    words: Sequence[Word], caption: Sequence[str], outcomes: Sequence[Sequence[Outcome]], free: bool
) -> Iterator[dict[str, Any]]:
    """The record of each word of a caption; if the maps do not depend on the word (`free`), the mean over all
    of them."""
    stems = [stem(word.text) for word in words]
    for i, word in enumerate(words):
        of_word = outcomes if free else [outcomes[i]]
        left = [[set(map(stem, outcome.caption)) for outcome in of_map] for of_map in of_word]
        gone = np.array([[[s not in there for s in stems] for there in of_map] for of_map in left], float)
        others = np.delete(gone, i, axis=2)
        changed = [[outcome.caption != tuple(caption) for outcome in of_map] for of_map in of_word]
        falls = [[outcome.falls[word.position] for outcome in of_map] for of_map in of_word]
        yield {
            **vars(word),
            "gone": gone[:, :, i].mean(axis=0).tolist(),
            "others": others.mean(axis=(0, 2)).tolist() if others.size else [None] * len(SHARES),
            "changed": np.mean(changed, axis=0).tolist(),
            "fall": np.mean(falls, axis=0).tolist(),
            "again": " ".join(of_word[0][0].caption),
        }
