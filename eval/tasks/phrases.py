"""`gazeback evaluate phrases`: do a word's pixels lie where the word is?"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.files import is_coco
from gazeback.eval.data.image import Phrase, PhraseImage, Sentence, Words
from gazeback.eval.data.phrases import phrase_mask
from gazeback.eval.data.selection import part_of
from gazeback.eval.harness.means import strata_table
from gazeback.eval.harness.table import Cell, Table, as_json
from gazeback.eval.harness.task import Example, Record, Records, skipped_line
from gazeback.eval.harness.tuning import best, split
from gazeback.eval.metrics.maps import average_precision, energy_inside, ious, pointing
from gazeback.eval.metrics.statistics import Mean, Summary, grouped_mean
from gazeback.eval.subjects.captioner import (
    CaptionerSubject,
    Method,
    PhraseTask,
    Question,
    Scale,
    first_of,
    left_out,
    model_input,
)
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.photos import load_photo

METRICS = ("pointing", "energy", "swap_pointing", "swap_energy", "average_precision")

THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Fractions of a map's maximum, above which a pixel is in its region."""

SIZES = ((0.02, "under 2 %"), (0.1, "2 to 10 %"), (0.3, "10 to 30 %"))

LARGEST = "30 % and more"


@dataclass(frozen=True)
class PhraseScore:
    """One phrase's scores, `scores[method][metric]`; without swap if the sentence has no other phrase.

    `ious[method]` has the IoU of the map's region at each of `THRESHOLDS`."""

    sentence: int
    phrase: str
    word: str
    types: tuple[str, ...]
    area: float
    scores: dict[str, dict[str, float]]
    ious: dict[str, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "types": list(self.types)}


@dataclass(frozen=True)
class _Asked:
    phrase: Phrase
    position: int
    mask: np.ndarray


def measured(
    captioner: CaptionGenerator, methods: Mapping[str, Method], image: PhraseImage, pixels: np.ndarray,
    scale: Scale, skipped: Counter[str],
) -> list[PhraseScore]:  # fmt: skip
    """Score an image's phrases; `skipped` counts phrases that cannot be used.

    `pixels` float32 [size, size, 3] is the photo as the captioner reads it.
    """
    features = np.asarray(captioner.features(pixels[None]))[0]
    scores: list[PhraseScore] = []
    for index, sentence in enumerate(image.sentences):
        words = Words.of(sentence, captioner.vocabulary, captioner.limit)
        asked = _questions(sentence, words, captioner, scale, skipped)
        if asked:
            question = Question(pixels, features, list(words.ids), [a.position for a in asked])
            maps = {name: method(question) for name, method in methods.items()}
            scores += _scored(index, words, asked, maps)
    return scores


def summarise(scores_of_images: Mapping[str, Iterable[PhraseScore]]) -> dict[str, Any]:
    """Compute, for each method, each metric over all phrases, by type and by size; photos are the groups of
    the errors.

    A phrase of two types counts in both. Its size is the fraction of the photo that its boxes cover.
    """
    means: dict[tuple[str, str, str, str], Mean] = {}
    for image, scores in scores_of_images.items():
        for score in scores:
            kinds = [
                ("all", ""),
                ("by_size", size_of(score.area)),
                *(("by_type", kind) for kind in score.types),
            ]
            for method, values in score.scores.items():
                for (metric, value), (group, kind) in product(values.items(), kinds):
                    means.setdefault((method, group, kind, metric), Mean()).update(value, group=image)
    table: dict[str, Any] = {}
    for (method, group, kind, metric), mean in means.items():
        row = table.setdefault(method, {"all": {}, "by_type": {}, "by_size": {}})
        cell = row["all"] if group == "all" else row[group].setdefault(kind, {})
        cell[metric] = mean.summary().as_json()
    return table


def size_of(area: float) -> str:
    """The name of the size class of boxes that cover this fraction of the photo."""
    return next((name for limit, name in SIZES if area < limit), LARGEST)


def differences(scores_of_images: Mapping[str, Iterable[PhraseScore]], method: str) -> dict[str, Any]:
    """Compute one method minus each of the others, phrase by phrase; the error is that of the difference."""
    means: dict[str, dict[str, Mean]] = {}
    for image, scores in scores_of_images.items():
        for score in scores:
            for other, values in score.scores.items():
                for metric in values if other != method else ():
                    mean = means.setdefault(other, {}).setdefault(metric, Mean())
                    mean.update(score.scores[method][metric] - values[metric], group=image)
    return {
        other: {metric: mean.summary().as_json() for metric, mean in row.items()}
        for other, row in means.items()
    }


def regions(scores_of_images: Mapping[str, Sequence[PhraseScore]]) -> dict[str, dict[str, Any]]:
    """Compute each method's IoU: the threshold with the largest mean on the tune part, and the mean of the
    other photos' phrases, `[method] = {"threshold": t, "iou": Summary}`.

    It is empty if a part has no phrase.
    """
    tune, reported = split({image: scores for image, scores in scores_of_images.items() if scores})
    if not tune or not reported:
        return {}
    found = {}
    for method in next(iter(tune.values()))[0].ious:
        place = best(np.mean([score.ious[method] for of in tune.values() for score in of], axis=0))
        iou = grouped_mean(
            {image: [score.ious[method][place] for score in of] for image, of in reported.items()}
        )
        found[method] = {"threshold": THRESHOLDS[place], "iou": iou}
    return found


def swap_scores(own_and_others: np.ndarray) -> np.ndarray:
    """Compute own map minus the mean of the others', float [n], from scores [n, n] of map i on the boxes of
    phrase j."""
    n = len(own_and_others)
    own = np.diagonal(own_and_others)
    return own - (own_and_others.sum(axis=0) - own) / (n - 1)


def _questions(
    sentence: Sentence, words: Words, captioner: CaptionGenerator, scale: Scale, skipped: Counter[str]
) -> list[_Asked]:
    asked: list[_Asked] = []
    for phrase in sentence.phrases:
        mask = phrase_mask(phrase, scale, captioner.side, skipped)
        if mask is None:
            continue
        position = words.last_known(phrase, captioner.vocabulary.unknown)
        if position is None:
            skipped["phrase without a known word"] += 1
        else:
            asked.append(_Asked(phrase, position, mask))
    return asked


def _scored(
    sentence: int, words: Words, asked: Sequence[_Asked], maps: Mapping[str, np.ndarray]
) -> list[PhraseScore]:
    masks = np.stack([a.mask for a in asked])
    scores = [
        PhraseScore(
            sentence, a.phrase.text, words.words[a.position], a.phrase.types, float(a.mask.mean()), {}
        )
        for a in asked
    ]
    for method, answer in maps.items():
        values, overlaps = _metrics(answer, masks), ious(answer, masks, THRESHOLDS).round(4).tolist()
        for i, score in enumerate(scores):
            score.scores[method] = {metric: float(column[i]) for metric, column in values.items()}
            score.ious[method] = overlaps[i]
    return scores


def _metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Compute every metric, float [n], from maps and masks [n, H, W] in the same order."""
    points, energies = pointing(maps, masks), energy_inside(maps, masks)
    values = {"pointing": np.diagonal(points), "energy": np.diagonal(energies)}
    if len(maps) > 1:
        values |= {"swap_pointing": swap_scores(points), "swap_energy": swap_scores(energies)}
    return values | {"average_precision": average_precision(maps, masks)}


@dataclass(frozen=True)
class PhrasesTask(PhraseTask):
    """Scores the maps of phrases of ground-truth sentences.

    `chosen`: names of methods between commas; the baselines are added."""

    name: ClassVar[str] = "phrases"

    def cache_key(self) -> dict[str, Any]:
        return {**super().cache_key(), "scores": list(METRICS), "thresholds": list(THRESHOLDS)}

    def score(self, record: Record) -> float | None:
        """The mean energy of an image's phrases."""
        energies = [phrase["scores"]["energy"] for phrase in record["phrases"]]
        return float(np.mean(energies)) if energies else None

    def tables(self, records: Records) -> list[Table]:
        """All phrases, the first method against the others, pointing and energy by entity type and size."""
        scores, first = joined(records), self.methods[0]
        summary, paired, overlaps = summarise(scores), differences(scores, first), regions(scores)
        notes = [*self._notes(summary, overlaps), *skipped_line(left_out(first_of(records).values()))]
        if not summary:
            return [Table("Phrases", (), [], ("none could be measured", *notes))]
        rows = [(method, _all_cells(row, overlaps.get(method, {}))) for method, row in summary.items()]
        tables = [Table("Phrases", [*_names(METRICS), "IoU", "threshold"], rows, notes)]
        if paired:
            minus = [(f"- {other}", _cells(row, METRICS)) for other, row in paired.items()]
            tables.append(Table(f"Phrase by phrase: {first}", _names(METRICS), minus))
        return tables + [
            _by(summary, metric, group, kinds)
            for metric, (group, kinds) in product(METRICS[:2], _groups(summary).items())
        ]

    def _notes(self, summary: Any, overlaps: Any) -> Iterator[str]:
        if summary:
            everything = summary[self.methods[0]]["all"]
            n, photos = everything["pointing"]["n"], everything["pointing"]["groups"]
            swapped = everything.get("swap_pointing", {"n": 0})["n"]
            yield f"{n} phrases of {photos} photos, {swapped} of them swapped; ± standard error over photos"
            where = "the masks of its category's instances" if self._coco else "its boxes"
            yield f"a phrase is on {where}; energy inside is also known as attention correctness"
            yield _region_note(overlaps)

    @property
    def _coco(self) -> bool:
        return is_coco(self.data, self.split)

    def details(self, records: Records) -> dict[str, Any]:
        scores = joined(records)
        images = [
            {"file_name": name, "part": part_of(name), "phrases": [score.as_json() for score in of_image]}
            for name, of_image in scores.items()
        ]
        return {
            "methods": summarise(scores),
            f"{self.methods[0]} minus": differences(scores, self.methods[0]),
            "regions": as_json(regions(scores)),
            "left out": dict(left_out(first_of(records).values())),
            "images": images,
        }

    def _load(self, subject: CaptionerSubject, name: str) -> tuple[PhraseImage, np.ndarray, Scale]:
        image = self.images[name]
        return image, *model_input(image.path, subject.captioner.side)

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        return {name: self._records(subject, name, methods) for name in names}

    def _records(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> dict[str, Record]:
        skipped: Counter[str] = Counter()
        image, pixels, scale = self._load(subject, name)
        scores = measured(subject.captioner, subject.methods(methods), image, pixels, scale, skipped)
        missing = {reason: count for reason, count in skipped.items() if count}
        return {
            method: {
                "phrases": [
                    {**score.as_json(), "scores": score.scores[method], "ious": score.ious[method]}
                    for score in scores
                ],
                "left out": missing,
            }
            for method in methods
        }

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The phrase whose score by the first method is nearest to the image's mean."""
        image, pixels, scale = self._load(subject, name)
        scores = measured(subject.captioner, subject.methods(methods), image, pixels, scale, Counter())
        if not scores:
            return None
        energies = np.array([score.scores[methods[0]]["energy"] for score in scores])
        shown = scores[int(np.argmin(np.abs(energies - energies.mean())))]
        sentence = image.sentences[shown.sentence]
        words = Words.of(sentence, subject.captioner.vocabulary, subject.captioner.limit)
        phrase, position = self._asked(subject, sentence, words, shown)
        features = np.asarray(subject.captioner.features(pixels[None]))[0]
        question = Question(pixels, features, list(words.ids), [position])
        photo = load_photo(image.path)
        mask = phrase_mask(phrase, scale, subject.captioner.side, Counter())
        return Example(
            photo.pixels,
            {method: answer(question)[0] for method, answer in subject.methods(methods).items()},
            title=f"{shown.phrase} ({shown.word}) in: {' '.join(sentence.tokens)}",
            values={method: _values(score) for method, score in shown.scores.items()},
            boxes=() if phrase.outlined else phrase.boxes,
            mask=None if phrase.outlined is None or mask is None else _on_photo(mask, photo.pixels),
        )

    def _asked(
        self, subject: CaptionerSubject, sentence: Sentence, words: Words, score: PhraseScore
    ) -> tuple[Phrase, int]:
        """The phrase of a score, and the index of its explained word."""
        unknown = subject.captioner.vocabulary.unknown
        places = ((phrase, words.last_known(phrase, unknown)) for phrase in sentence.phrases)
        return next((p, place) for p, place in places if p.text == score.phrase and place is not None)


def _values(scores: Mapping[str, float]) -> str:
    return f"pointing {scores['pointing']:.0f}, energy {scores['energy']:.2f}"


def _on_photo(mask: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Resample a mask [size, size] to bool [H, W] of the photo, nearest neighbour."""
    rows, columns = (np.arange(n) * side // n for n, side in zip(photo.shape, mask.shape, strict=False))
    return mask[np.ix_(rows, columns)]


def joined(records: Records) -> dict[str, list[PhraseScore]]:
    """Join the records of all methods: the phrases of each image with all scores."""
    of_images: dict[str, list[PhraseScore]] = {}
    for name, record in first_of(records).items():
        of_images[name] = [
            PhraseScore(
                **{
                    **phrase,
                    "types": tuple(phrase["types"]),
                    "scores": {
                        method: dict(images[name]["phrases"][i]["scores"])
                        for method, images in records.items()
                    },
                    "ious": {
                        method: images[name]["phrases"][i]["ious"] for method, images in records.items()
                    },
                }
            )
            for i, phrase in enumerate(record["phrases"])
        ]
    return of_images


def _names(metrics: Sequence[str]) -> list[str]:
    return [metric.replace("_", " ") for metric in metrics]


def _cells(row: Mapping[str, Any], metrics: Sequence[str]) -> list[Summary | None]:
    return [Summary(**row[metric]) if metric in row else None for metric in metrics]


def _all_cells(row: Any, overlap: Mapping[str, Any]) -> list[Cell]:
    """A method's means over all phrases, its IoU and the threshold of that."""
    return [*_cells(row["all"], METRICS), overlap.get("iou"), overlap.get("threshold")]


def _region_note(overlaps: Mapping[str, Mapping[str, Any]]) -> str:
    if not overlaps:
        return "no IoU: it needs phrases of the tune part, to choose a threshold, and of other photos"
    iou = next(iter(overlaps.values()))["iou"]
    return (
        f"IoU of {iou.n} phrases of {iou.groups} photos; its threshold, a fraction of a map's maximum, is "
        "chosen on the tune part"
    )


def _groups(summary: Any) -> dict[str, list[str]]:
    """The groups of phrases that have separate scores, in the order of the table."""
    first = next(iter(summary.values()))
    sizes = [name for _, name in SIZES] + [LARGEST]
    return {
        "by_type": sorted(first["by_type"]),
        "by_size": [size for size in sizes if size in first["by_size"]],
    }


def _by(summary: Any, metric: str, group: str, kinds: Sequence[str]) -> Table:
    first = next(iter(summary.values()))[group]
    rows = [
        (kind, [first[kind][metric]["n"], *(Summary(**row[group][kind][metric]) for row in summary.values())])
        for kind in kinds
    ]
    title = f"{metric.capitalize()} {group.replace('_', ' ')}"
    return strata_table(title, ("n", *summary), rows, group.replace("by_", ""))
