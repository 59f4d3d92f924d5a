"""`gazeback evaluate proposals`: does the one box of the predicted class contain an object of any class?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.image import ObjectImage
from gazeback.eval.data.selection import Part
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.harness.tuning import LOCALIZED, best_boxes, reported_part, tuned
from gazeback.eval.metrics.boxes import best_iou
from gazeback.eval.metrics.maps import Box
from gazeback.eval.metrics.statistics import grouped_mean
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask, Prepared
from gazeback.eval.tasks.box_rules import SETTINGS, Answer, answers_of
from gazeback.models.classifiers import ModelInput


@dataclass(frozen=True)
class Found:
    """One method's boxes by one rule on one image, a box for each setting.

    categories: those of the image's objects, in order. hits: for each setting, whether its box finds each
    object. best: for each setting, the largest intersection over union of its box with an object.
    """

    categories: Sequence[str]
    hits: Sequence[Sequence[int]]
    best: Sequence[float]


def found(boxes: Sequence[Box], objects: np.ndarray, categories: Sequence[str]) -> Found:
    """Compare each box with the objects' boxes, float [n, 4]."""
    ious = np.array([[best_iou(box, one[None]) for one in objects] for box in boxes])
    hits = [np.flatnonzero(of_box >= LOCALIZED).tolist() for of_box in ious]
    return Found(list(categories), hits, ious.max(axis=1).tolist())


def on_annotated(box: Box, prepared: ModelInput, size: tuple[int, int]) -> Box:
    """Map a box on the classifier's input to the annotated image of (height, width), clipped at its edges."""
    x, y, w, h = box
    # box coordinates are edges, those of to_photo are centres of pixels
    corners = prepared.to_photo(np.array([[y, x], [y + h, x + w]]) - 0.5) + 0.5
    (top, left), (bottom, right) = corners * np.divide(size, prepared.photo_shape)
    return (float(left), float(top), float(right - left), float(bottom - top))


def recalls(images: Sequence[Found], setting: int) -> dict[str, float]:
    """Compute, for each category, the fraction of its objects that the box of their image finds."""
    objects: dict[str, list[bool]] = {}
    for image in images:
        for place, category in enumerate(image.categories):
            objects.setdefault(category, []).append(place in image.hits[setting])
    return {category: float(np.mean(of)) for category, of in sorted(objects.items())}


def precisions(images: Sequence[Found], setting: int) -> dict[str, float]:
    """Compute, for each category, the fraction of its images whose box finds one of its objects."""
    right: dict[str, list[bool]] = {}
    for image in images:
        hit = {image.categories[place] for place in image.hits[setting]}
        for category in set(image.categories):
            right.setdefault(category, []).append(category in hit)
    return {category: float(np.mean(of)) for category, of in sorted(right.items())}


@dataclass(frozen=True)
class ProposalRow:
    """A method's boxes by one rule with the chosen setting, on the reported images."""

    method: str
    rule: str
    place: int
    images: Mapping[str, Found]

    @property
    def setting(self) -> Mapping[str, float]:
        return SETTINGS[self.rule][self.place]

    def recalls(self) -> dict[str, float]:
        return recalls(list(self.images.values()), self.place)

    def precisions(self) -> dict[str, float]:
        return precisions(list(self.images.values()), self.place)

    def hits(self) -> dict[str, float]:
        """1 for each image in which the box finds any object, else 0."""
        return {name: float(bool(image.hits[self.place])) for name, image in self.images.items()}


def proposal_rows(records: Mapping[str, Mapping[str, Mapping[str, Any]]], part: Part) -> list[ProposalRow]:
    """Compute the rows of every method's rules.

    Settings are chosen on the tune part, and reported on the others (or on the tune part, if `part` is
    "tune"). Raises DataError if one of the two parts is missing."""
    made = []
    for method, of_method in records.items():
        for rule in next(iter(of_method.values()))["rules"]:
            images = {
                name: Found(record["categories"], **record["rules"][rule])
                for name, record in of_method.items()
            }
            tune, reported = tuned(images, part)
            place = best_boxes([image.best for image in tune.values()])
            made.append(ProposalRow(method, rule, place, reported))
    return made


COLUMNS = ("rule", "setting", "images with a hit", "mean recall", "mean precision")


class ProposalsTask(ObjectTask):
    """Compares one box per image, by every rule of a method, with the boxes of all objects except crowds."""

    name: ClassVar[str] = "proposals"
    tunes: ClassVar[bool] = True

    @property
    def settings(self) -> Mapping[str, Any]:
        rules = {rule: list(of_rule) for rule, of_rule in SETTINGS.items()}
        return {"question": "the predicted class", "iou": LOCALIZED, "rules": rules}

    def tables(self, records: Records) -> Sequence[Table]:
        rows = proposal_rows(records, self.part)
        categories = rows[0].recalls()
        objects = sum(len(image.categories) for image in rows[0].images.values())
        notes = [
            f"{objects} objects of {len(categories)} categories in {len(rows[0].images)} images of the "
            f"{reported_part(self.part)} part; an object is found by a box with an "
            f"intersection over union of {LOCALIZED} or more; settings chosen on the tune part",
            "recall: fraction of a category's objects that are found; precision: fraction of the images "
            "with the category in which one of its objects is found; a box hardly ever finds more than one "
            "object",
            "± standard error over images, or over categories",
        ]
        return [
            Table("One box an image", COLUMNS, [(row.method, _cells(row)) for row in rows], notes, "method")
        ]

    def score(self, record: Record) -> float | None:
        """The best fit of the first rule's boxes over all settings."""
        return float(max(next(iter(record["rules"].values()))["best"]))

    def details(self, records: Records) -> Mapping[str, Any]:
        found = [
            {
                "method": row.method,
                "rule": row.rule,
                "setting": dict(row.setting),
                "recall": row.recalls(),
                "precision": row.precisions(),
            }
            for row in proposal_rows(records, self.part)
        ]
        return {**super().details(records), "by category": found}

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        images = [self.read[name] for name in names if len(self.read[name].boxes())]
        if not images:
            return {}
        seen = [subject.prepare(image.path) for image in images]
        predicted = subject.probabilities(seen).argmax(axis=1)
        records: dict[str, dict[str, Record]] = {image.name: {} for image in images}
        for method in methods:
            answers = self._answers(subject, method, seen, predicted)
            for image, one, target, answer in zip(images, seen, predicted, answers, strict=True):
                records[image.name][method] = _record(image, one, int(target), answer)
        return records

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        image = self.read[name]
        seen = subject.prepare(image.path)
        predicted = subject.probabilities([seen]).argmax(axis=1)
        answers = {method: self._answers(subject, method, [seen], predicted)[0] for method in methods}
        maps = {method: seen.on_photo(answer.heat) for method, answer in answers.items()}
        record = {m: _record(image, seen, int(predicted[0]), answer) for m, answer in answers.items()}
        values = {
            m: ", ".join(f"{rule} {max(of['best']):.2f}" for rule, of in record[m]["rules"].items())
            for m in answers
        }
        boxes = image.boxes_on(seen.photo_shape)
        asked = subject.classifier.class_names[int(predicted[0])]
        return Example(seen.photo.pixels, maps, f"predicted: {asked}; best fits", values, boxes.tolist())

    def _answers(
        self, subject: ClassifierSubject, method: str, seen: Sequence[Prepared], predicted: np.ndarray
    ) -> list[Answer]:
        """Compute boxes and maps of the predicted classes, on the inputs."""
        pixels = np.stack([one.pixels for one in seen])
        return answers_of(method, subject.classifier.model, pixels, predicted, predicted)


def _cells(row: ProposalRow) -> list[Any]:
    setting = ", ".join(f"{name} {value}" for name, value in row.setting.items()) or "-"
    return [row.rule, setting, *map(grouped_mean, (row.hits(), row.recalls(), row.precisions()))]


def _record(image: ObjectImage, seen: Prepared, predicted: int, answer: Answer) -> Record:
    single = [one for one in image.objects if not one.crowd]
    categories, objects = [one.category for one in single], image.boxes()
    rules = {}
    for rule, boxes in answer.boxes.items():
        moved = [on_annotated(box, seen.input, image.annotated) for box in boxes]
        of_rule = found(moved, objects, categories)
        rules[rule] = {"hits": of_rule.hits, "best": of_rule.best}
    return {"predicted": predicted, "categories": categories, "rules": rules}
