"""The tables of `gazeback evaluate support`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Record
from gazeback.eval.metrics.statistics import Summary, grouped_mean
from gazeback.eval.metrics.truth import BINS, auroc_of_groups, calibration, calibration_error

SUPPORT = "support"

SCORES = {
    SUPPORT: "the probability that the word is true",
    "log probability": "log p(word | photo, words before)",
    "negative entropy": "of the word's step",
    "visual": "log probability minus that on the mean picture",
    "map maximum": "of the net relevance at the last map",
    "map mean": "the same",
    "map quantile": "the same, its 95 % quantile",
}
"""The figures that are compared. The visual share grows with `visual`, so it orders words alike."""

TRUTHS = {"said": "in a reference", "boxed": "noun in a phrase with a box", "object": "COCO object"}


@dataclass(frozen=True)
class Judged:
    """The words that are judged in one way: figures by name, float [n], truth bool [n], and their photos."""

    scores: Mapping[str, np.ndarray]
    true: np.ndarray
    photos: Sequence[str]

    @classmethod
    def of(cls, photos: Mapping[str, Record], truth: str) -> "Judged":
        """Content words whose truth is known in a way of `TRUTHS`; figures that a word lacks are left out."""
        words = [
            (name, word)
            for name, of in photos.items()
            for word in of["words"]
            if word["content"] and truth in word
        ]
        scores = {score: [word["scores"][score] for _, word in words] for score in SCORES}
        known = {name: np.array(of, float) for name, of in scores.items() if of and None not in of}
        return cls(known, np.array([word[truth] for _, word in words], bool), [name for name, _ in words])


def areas_table(photos: Mapping[str, Record]) -> Table:
    """The area under the ROC curve of each figure, for each way in which words are judged."""
    judged = {told: Judged.of(photos, truth) for truth, told in TRUTHS.items()}
    judged = {told: words for told, words in judged.items() if len(words.true)}
    rows: list[tuple[str, list[Cell]]] = [
        (score, [_area(words, score) for words in judged.values()]) for score in SCORES
    ]
    told = ", ".join(
        f"{name}: {words.true.mean():.3f} of {len(words.true)}" for name, words in judged.items()
    )
    notes = [f"{len(photos)} photos; ± standard error over photos; true are, {told}"]
    return Table("Are generated words true? Area under the ROC curve", list(judged), rows, notes, "figure")


def _area(words: Judged, score: str) -> Summary | None:
    return auroc_of_groups(words.scores[score], words.true, words.photos) if score in words.scores else None


def calibration_table(photos: Mapping[str, Record]) -> Table | None:
    """The calibration curve of support; None for a captioner without support."""
    words = Judged.of(photos, "said")
    if SUPPORT not in words.scores:
        return None
    bins = calibration(words.scores[SUPPORT], words.true)
    rows: list[tuple[str, list[Cell]]] = [
        (f"{one.first:.1f} to {one.first + 1 / BINS:.1f}", [one.n, one.probability, one.true]) for one in bins
    ]
    notes = [
        f"expected calibration error {calibration_error(bins):.3f}; true is a word that is in a reference"
    ]
    return Table(
        "Is support the probability that a word is true?",
        ("n", "mean support", "true"),
        rows,
        notes,
        "support",
    )


def chair_table(photos: Mapping[str, Record]) -> Table | None:
    """CHAIR of the captions; None without COCO's objects."""
    objects = {
        name: [not word["object"] for word in of["words"] if "object" in word] for name, of in photos.items()
    }
    if not any(objects.values()):
        return None
    per_sentence = grouped_mean({name: [float(any(wrong))] for name, wrong in objects.items()})
    row: list[Cell] = [
        grouped_mean({name: np.array(wrong, float) for name, wrong in objects.items()}),
        per_sentence,
    ]
    return Table(
        "Hallucinated objects (CHAIR)",
        ("of all objects, CHAIR_i", "of all captions, CHAIR_s"),
        [("captioner", row)],
    )
