"""`gazeback evaluate generated`: are the words of generated captions where the captioner points?

The figure is F1 as in ActivityNet-Entities.

Zhou et al., *Grounded Video Description*, CVPR 2019, section 5 and appendix A.3, as their script for
Flickr30k Entities computes it. A photo's generated caption is compared with each of people's sentences. An
object word of the caption (`gazeback.eval.metrics.words`) is right if the sentence has a word of its class.
It is localized if the box of its map overlaps a box of the first such word by an IoU above 0.5. Words without
a box in the sentence are not mistakes.

- `all`: precision over all object words of the caption, recall over all objects of the sentences; a wrong
  word and an object that is not named count as not localized.
- `loc`: both over correct words only.

Precision and recall are means over classes; a class that is never named counts as 0. F1 is computed from
these means. The classes are those of phrases with boxes that occur at least `COMMON` times in the split.

A map's box is that of its heaviest region above a fraction of the maximum. The box of `center` is in the
middle, and its sides are a fraction of the photo's. The fraction is chosen for each method on the tune part,
by F1 (all), among `THRESHOLDS` and `SIDES`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.image import PhraseImage, Sentence
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Example, Record, Records, skipped_line
from gazeback.eval.harness.tuning import best, reported_part, split
from gazeback.eval.metrics.boxes import best_iou, centre_box, region_box
from gazeback.eval.metrics.maps import Box
from gazeback.eval.metrics.statistics import Summary, grouped_mean, jackknife
from gazeback.eval.metrics.words import object_words
from gazeback.eval.subjects.captioner import (
    CaptionerSubject,
    PhraseTask,
    Question,
    Scale,
    first_of,
    left_out,
    model_input,
)
from gazeback.eval.subjects.methods import CENTRE
from gazeback.models.photos import load_photo
from gazeback.models.vocabulary import tokenize

THRESHOLDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)

SIDES = (0.2, 0.25, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)

DEFAULT = 7

COMMON = 10

IOU = 0.5


SETTINGS = {
    "thresholds": list(THRESHOLDS),
    "sides": list(SIDES),
    "iou": IOU,
    "common": COMMON,
}

Hits = list[int]
"""Whether a word is localized, 0 or 1, for each of `THRESHOLDS` or, for the centre, `SIDES`."""


@dataclass(frozen=True)
class NamedObjects:
    """The objects of a sentence: class and boxes of those with boxes, in order, and the classes of the
    others."""

    objects: tuple[tuple[str, tuple[Box, ...]], ...]
    unboxed: frozenset[str]

    @classmethod
    def of(cls, sentence: Sentence) -> "NamedObjects":
        pairs = [(word, i) for i, token in enumerate(sentence.tokens) for word in tokenize(token)]
        named = [(pairs[place][1], kind) for place, kind in object_words([word for word, _ in pairs])]
        heads: dict[int, tuple[Box, ...]] = {}
        for phrase in sentence.phrases:
            inside = [token for token, _ in named if phrase.first <= token < phrase.last]
            if phrase.boxes and inside:
                heads[inside[-1]] = phrase.boxes
        objects = tuple((kind, heads[token]) for token, kind in named if token in heads)
        return cls(objects, frozenset(kind for token, kind in named if token not in heads))


def common_classes(images: Sequence[PhraseImage]) -> frozenset[str]:
    """The classes of the objects with boxes that are named at least `COMMON` times."""
    counts = Counter(
        kind
        for image in images
        for sentence in image.sentences
        for kind, _ in NamedObjects.of(sentence).objects
    )
    return frozenset(kind for kind, count in counts.items() if count >= COMMON)


@dataclass(frozen=True)
class GeneratedTask(PhraseTask):
    """Localizes the object words of generated captions.

    `chosen`: names of methods between commas; the baselines are added."""

    name: ClassVar[str] = "generated"
    tunes: ClassVar[bool] = True

    @cached_property
    def classes(self) -> frozenset[str]:
        """The classes that are measured: `common_classes` of the whole split."""
        return common_classes(self.read.everything)

    def cache_key(self) -> dict[str, Any]:
        return {**super().cache_key(), **SETTINGS}

    def score(self, record: Record) -> float | None:
        """The fraction of correct words that are localized, at the middle setting."""
        hits = [entry[1][DEFAULT] for entry in record["recall"] if entry[1] is not None]
        return float(np.mean(hits)) if hits else None

    def tables(self, records: Records) -> list[Table]:
        part = reported_part(self.part)
        columns = ("share", "F1 all", "F1 loc", "precision all", "recall all", "right words localized")
        rows: list[tuple[str, list[Cell]]] = []
        for method, photos in records.items():
            tune, reported = split(photos, self.part)
            setting = best_setting(tune)
            rows.append((method, [_settings(method)[setting], *figures(reported, setting)]))
        _, shown = split(first_of(records), self.part)
        n, classes = len(shown), len({entry[0] for of in shown.values() for entry in of["recall"]})
        notes = [
            f"{n} photos of the {part} part, {classes} classes; the fraction is chosen on the tune part; "
            "± standard error over photos",
            *skipped_line(left_out(first_of(records).values())),
        ]
        return [Table("Object words of generated captions", columns, rows, notes)]

    def details(self, records: Records) -> dict[str, Any]:
        return {"settings": SETTINGS}

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        return {name: self._records(subject, self.images[name], methods) for name in names}

    def _records(
        self, subject: CaptionerSubject, image: PhraseImage, methods: Sequence[str]
    ) -> dict[str, Record]:
        skipped: Counter[str] = Counter()
        pixels, scale = model_input(image.path, subject.captioner.side)
        sentences = [
            self._on_input(subject, NamedObjects.of(sentence), scale, skipped) for sentence in image.sentences
        ]
        caption, words, question = self._asked(subject, pixels)
        return {
            method: {
                "caption": caption,
                **matched(words, self._boxes(subject, method, question), sentences),
                "left out": dict(skipped),
            }
            for method in methods
        }

    def _asked(self, subject: CaptionerSubject, pixels: np.ndarray) -> tuple[str, list[str], Question]:
        """The generated caption, the classes of its object words, and the question about them."""
        features = np.asarray(subject.captioner.features(pixels[None]))
        caption = subject.captioner.search(features)[0][0]
        found = [(place, kind) for place, kind in object_words(caption.words) if kind in self.classes]
        places = [place for place, _ in found]
        question = Question(pixels, features[0], list(caption.ids), places)
        return str(caption), [kind for _, kind in found], question

    def _on_input(
        self, subject: CaptionerSubject, sentence: NamedObjects, scale: Scale, skipped: Counter[str]
    ) -> NamedObjects:
        """The objects of common classes, with boxes in input pixels and without empty boxes."""
        objects = []
        for kind, boxes in sentence.objects:
            if kind not in self.classes:
                continue
            scaled = tuple(tuple(np.array(box) * (*scale, *scale)) for box in boxes if min(box[2:]) > 0)
            skipped["empty box"] += len(boxes) - len(scaled)
            if scaled:
                objects.append((kind, scaled))
        return NamedObjects(tuple(objects), sentence.unboxed)

    def _boxes(self, subject: CaptionerSubject, method: str, question: Question) -> list[list[Box]]:
        """Compute the box of each word for each of the method's settings."""
        settings = _settings(method)
        if method == CENTRE:
            shape = question.image.shape[:2]
            return [[centre_box(shape, share) for share in settings] for _ in question.positions]
        return [
            [region_box(heat, share) for share in settings] for heat in self._maps(subject, method, question)
        ]

    def _maps(
        self, subject: CaptionerSubject, method: str, question: Question
    ) -> np.ndarray | list[np.ndarray]:
        return subject.maps(method, question) if question.positions else []

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The first object word of the caption, with the boxes of its class."""
        image = self.images[name]
        pixels, _ = model_input(image.path, subject.captioner.side)
        caption, words, question = self._asked(subject, pixels)
        if not words:
            return None
        boxes = [
            box
            for sentence in image.sentences
            for kind, of_object in NamedObjects.of(sentence).objects
            if kind == words[0]
            for box in of_object
        ]
        maps = {method: self._maps(subject, method, question)[0] for method in methods}
        return Example(
            load_photo(image.path).pixels,
            maps,
            title=f"{words[0]} in: {caption}",
            boxes=list(dict.fromkeys(boxes)),
        )


def _settings(method: str) -> Sequence[float]:
    return SIDES if method == CENTRE else THRESHOLDS


def figures(photos: Mapping[str, Record], setting: int) -> list[Cell]:
    """Compute F1 of all words and of correct words, precision and recall of all, and the fraction of correct
    words that are localized."""
    if not photos:
        return [None] * 5
    everything, right = (Tally.of(photos, setting, wrong_too) for wrong_too in (True, False))
    whole, parts = everything.scores(), everything.without_each()
    all_three = [jackknife(float(whole[i]), parts[:, i]) for i in range(3)]
    f1_loc = jackknife(float(right.scores()[2]), right.without_each()[:, 2])
    return [all_three[2], f1_loc, all_three[0], all_three[1], _localized(photos, setting)]


def _localized(photos: Mapping[str, Record], setting: int) -> Summary:
    return grouped_mean(
        {
            name: [entry[1][setting] for entry in record["recall"] if entry[1] is not None]
            for name, record in photos.items()
        }
    )


def best_setting(photos: Mapping[str, Record]) -> int:
    """Find the index of the setting with the best F1 (all); `DEFAULT` without photos."""
    if not photos:
        return DEFAULT
    scores = [Tally.of(photos, setting, True).scores()[2] for setting in range(len(THRESHOLDS))]
    return best(scores)


@dataclass(frozen=True, eq=False)
class Tally:
    """For precision and recall, the numbers of localized words and of all words of each class: float [2,
    photos, classes] each."""

    hits: np.ndarray
    counts: np.ndarray
    there: np.ndarray
    """The number of times that each class is named with a box, float [photos, classes]."""

    @classmethod
    def of(cls, photos: Mapping[str, Record], setting: int, wrong_too: bool) -> "Tally":
        """Count words; `wrong_too`: wrong words and objects that are not named count as not localized."""
        entries = [(record["precision"], record["recall"]) for record in photos.values()]
        names = {entry[0] for both in entries for side in both for entry in side}
        number = {name: i for i, name in enumerate(sorted(names))}
        hits, counts = np.zeros((2, 2, len(entries), len(number)))
        there = np.zeros((len(entries), len(number)))
        for photo, both in enumerate(entries):
            for side, of_side in enumerate(both):
                for kind, found in of_side:
                    there[photo, number[kind]] += side
                    if found is not None or wrong_too:
                        counts[side, photo, number[kind]] += 1
                        hits[side, photo, number[kind]] += 0 if found is None else found[setting]
        return cls(hits, counts, there)

    def scores(self) -> np.ndarray:
        """Precision, recall and F1: float [3]."""
        return _scores(self.hits.sum(axis=1), self.counts.sum(axis=1), self.there.sum(axis=0))

    def without_each(self) -> np.ndarray:
        """Precision, recall and F1 without each photo, float [photos, 3]."""
        hits, counts = (array.sum(axis=1, keepdims=True) - array for array in (self.hits, self.counts))
        return _scores(hits, counts, self.there.sum(axis=0) - self.there)


def _scores(hits: np.ndarray, counts: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Compute [..., 3] from float [2, ..., classes] and [..., classes]."""
    classes = np.maximum((there > 0).sum(axis=-1), 1)
    precision, recall = (hits / np.maximum(counts, 1)).sum(axis=-1) / classes
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return np.stack([precision, recall, f1], axis=-1)


def matched(
    words: Sequence[str], boxes: Sequence[Sequence[Box]], sentences: Sequence[NamedObjects]
) -> dict[str, list[tuple[str, Hits | None]]]:
    """Match a caption with sentences, for precision and recall: the class, and whether it is localized.

    It is None if the word is wrong or the object is not named. words: the classes of the caption's object
    words; boxes: for each word, one box for each setting.
    """
    precision: list[tuple[str, Hits | None]] = []
    recall: list[tuple[str, Hits | None]] = []
    for sentence in sentences:
        first: dict[str, Sequence[Box]] = {}
        for kind, of_object in sentence.objects:
            first.setdefault(kind, of_object)
        for kind, found in zip(words, boxes, strict=True):
            if kind in first:
                precision.append((kind, _hits(found, first[kind])))
            elif kind not in sentence.unboxed:
                precision.append((kind, None))
        for kind, of_object in sentence.objects:
            named = kind in words
            recall.append((kind, _hits(boxes[words.index(kind)], of_object) if named else None))
    return {"precision": precision, "recall": recall}


def _hits(found: Sequence[Box], true_boxes: Sequence[Box]) -> Hits:
    return [int(best_iou(box, np.array(true_boxes, float)) > IOU) for box in found]
