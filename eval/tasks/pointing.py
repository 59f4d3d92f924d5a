"""`gazeback evaluate pointing`: is the maximum of a class's map on an object of that class?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import distance_transform_edt

from gazeback.eval.data.folder import WRONG_CLASS_RULE, wrong_class
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.metrics.statistics import Summary, grouped_mean
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask, Prepared

TOLERANCE = 15.0
"""The tolerance in pixels."""

SMALL = 0.25
"""Objects that cover a smaller fraction of an image are difficult."""


def maxima(heat: np.ndarray) -> np.ndarray:
    """Find the maxima of a map float [h, w], non-negative: int [n, 2]; none for a map of zeros."""
    return np.argwhere((heat == heat.max()) & (heat > 0))


def distances(mask: np.ndarray) -> np.ndarray:
    """Compute the distance of each pixel's centre to that of the nearest pixel of an object, bool [height,
    width], which is not empty."""
    return distance_transform_edt(~mask)


def hit(points: np.ndarray, far: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Compute the fraction of the points, float [n, 2], that are within the tolerance; 0 if there are none.

    `far`: the `distances` of the annotated image. A point counts as the pixel that it is in.
    """
    if not len(points):
        return 0.0
    rows, columns = np.clip(np.rint(points).astype(int), 0, np.subtract(far.shape, 1)).T
    return float((far[rows, columns] <= tolerance).mean())


def is_difficult(image: ObjectImage, category: str, mask: np.ndarray, single: bool) -> bool:
    """Whether the category's objects, whose union is `mask`, cover less than a quarter of the image, and it
    shows another category too.

    `single`: the data has one category for each image, so only the first condition is checked.
    """
    small = bool(mask.mean() < SMALL)
    return small and (single or any(other != category for other in image.categories))


@dataclass(frozen=True)
class Answer:
    """The result of one question for one method: the hit of the category's map, and that of a class which is
    not in the image."""

    category: str
    hit: float
    wrong_hit: float
    difficult: bool


def accuracies(asked: Mapping[str, Sequence[Answer]]) -> dict[str, float]:
    """Compute the fraction of hits of each category; `asked`: questions by image."""
    by_category: dict[str, list[float]] = {}
    for questions in asked.values():
        for one in questions:
            by_category.setdefault(one.category, []).append(one.hit)
    return {category: float(np.mean(hits)) for category, hits in sorted(by_category.items())}


COLUMNS = (
    "all: over categories",
    "all: over questions",
    "difficult: over categories",
    "difficult: over questions",
    "wrong class",
    "difference",
)


@dataclass(frozen=True, eq=False)
class _Question:
    """A class, a wrong class, and the distances of the annotated image's pixels from the class's objects."""

    image: ObjectImage
    seen: Prepared
    category: str
    target: int
    wrong: int
    far: np.ndarray
    difficult: bool

    def hit(self, heat: np.ndarray) -> float:
        """The fraction of a map's maxima that hit the object; the map is over the classifier's input."""
        photo = (self.seen.photo.height, self.seen.photo.width)
        places = self.seen.input.to_photo(maxima(heat))
        return hit((places + 0.5) * np.divide(self.far.shape, photo) - 0.5, self.far)


class PointingTask(ObjectTask):
    """Plays the pointing game.

    Questions are the class of a labelled image, or the categories in a COCO image that are classes of the
    classifier."""

    name: ClassVar[str] = "pointing"
    asks_true: ClassVar[bool] = True

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"tolerance in pixels of the annotated image": TOLERANCE, "wrong class": WRONG_CLASS_RULE}

    def tables(self, records: Records) -> Sequence[Table]:
        asked = {method: _asked(of_method) for method, of_method in records.items()}
        first = next(iter(asked.values()))
        n = sum(map(len, first.values()))
        difficult = sum(one.difficult for questions in first.values() for one in questions)
        notes = [
            f"{n} questions to {len(first)} images, {difficult} of them difficult: the objects cover less "
            f"than a quarter of the image{'' if self._single else ', which shows another category too'}",
            f"a hit is within {TOLERANCE:g} pixels of the object, in the image as annotated (its original "
            "size, if it is known); wrong class: how often the map of a class that is not in the image "
            "hits; difference: the hits minus these",
            "± standard error over images, or over categories",
        ]
        rows = [(method, _cells(of_method)) for method, of_method in asked.items()]
        return [Table("Pointing game", COLUMNS, rows, notes, "method")]

    def score(self, record: Record) -> float | None:
        return float(np.mean([question["hit"] for question in record["questions"]]))

    def details(self, records: Records) -> Mapping[str, Any]:
        found = {method: accuracies(_asked(of)) for method, of in records.items()}
        return {**super().details(records), **self.settings, "accuracy by category": found}

    @property
    def _single(self) -> bool:
        return self.read.ordered

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        questions = [question for name in names for question in self._questions(subject, self.read[name])]
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for method in methods if questions else ():
            pixels = [question.seen.pixels for question in questions]
            right = subject.maps(method, pixels, [question.target for question in questions])
            wrong = subject.maps(method, pixels, [question.wrong for question in questions])
            for question, heat, other in zip(questions, right, wrong, strict=True):
                of_image = found.setdefault(question.image.name, {}).setdefault(method, {"questions": []})
                asked = Answer(question.category, question.hit(heat), question.hit(other), question.difficult)
                of_image["questions"].append(asdict(asked))
        return found

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        image = self.read[name]
        questions = self._questions(subject, image)
        if not questions:
            return None
        first = questions[0]
        heats = {m: subject.maps(m, [first.seen.pixels], [first.target])[0] for m in methods}
        values = {method: "hit" if first.hit(heat) == 1 else "miss" for method, heat in heats.items()}
        maps = {method: first.seen.on_photo(heat) for method, heat in heats.items()}
        boxes = image.boxes_on(first.seen.photo_shape, first.category).tolist()
        return Example(first.seen.photo.pixels, maps, f"where is the {first.category}?", values, boxes)

    def _questions(self, subject: ClassifierSubject, image: ObjectImage) -> list[_Question]:
        """The questions about an image; objects that cover no pixel's centre are left out."""
        targets = subject.true_classes.of(image)
        if not targets:
            return []
        seen, questions = subject.prepare(image.path), []
        wrong = wrong_class(image.name, targets.values(), len(subject.classifier.class_names))
        for category, target in targets.items():
            mask = image.mask(category)
            if mask.any():
                difficult = is_difficult(image, category, mask, self._single)
                questions.append(_Question(image, seen, category, target, wrong, distances(mask), difficult))
        return questions


def _asked(records: Mapping[str, Record]) -> dict[str, list[Answer]]:
    return {
        name: [Answer(**question) for question in record["questions"]] for name, record in records.items()
    }


def _cells(asked: Mapping[str, Sequence[Answer]]) -> list[Summary]:
    difficult = {name: [one for one in of_image if one.difficult] for name, of_image in asked.items()}
    return [
        *(
            cell
            for chosen in (asked, difficult)
            for cell in (
                grouped_mean(accuracies(chosen)),
                grouped_mean({name: [one.hit for one in of_image] for name, of_image in chosen.items()}),
            )
        ),
        grouped_mean({name: [one.wrong_hit for one in of_image] for name, of_image in asked.items()}),
        grouped_mean(
            {name: [one.hit - one.wrong_hit for one in of_image] for name, of_image in asked.items()}
        ),
    ]
