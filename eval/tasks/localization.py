"""`gazeback evaluate localization`: do a classifier's boxes and maps find the object?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.folder import WRONG_CLASS_RULE, ObjectData, wrong_class
from gazeback.eval.data.formats import Published, read_published
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.data.selection import Part, part_of
from gazeback.eval.harness.table import Cell, Table, as_json
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.harness.tuning import LOCALIZED, best_boxes, reported_part, tuned
from gazeback.eval.metrics.boxes import best_iou
from gazeback.eval.metrics.maps import boxes_mask, energy_inside, pointing
from gazeback.eval.metrics.statistics import Summary, correlation, grouped_mean
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask, TrueClasses
from gazeback.eval.tasks.box_rules import SETTINGS, Answer, answers_of

IOUS = (0.3, 0.5, 0.7)

MAP_METRICS = (
    "hit",
    "energy",
    "wrong hit",
    "wrong energy",
    "hit difference",
    "energy difference",
    "correlation",
)

PUBLISHED = "published boxes"


@dataclass(frozen=True)
class Score:
    """The figures of one method on one image: the best IoU of each setting's box by rule, and those of its
    maps."""

    ious: Mapping[str, Sequence[float]]
    maps: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """The figures of one image: the class in question, the predicted class, and every method's score."""

    name: str
    target: int
    predicted: int
    scores: Mapping[str, Score]

    @property
    def right(self) -> bool:
        return self.predicted == self.target

    @property
    def part(self) -> str:
        return part_of(self.name)


def measure(
    asked: ClassifierSubject, classes: TrueClasses, images: Sequence[ObjectImage], methods: Sequence[str]
) -> Iterator[Measured]:
    """Measure the images of the classifier's classes, one after another. Raises UserError if a method cannot
    be used.
    """
    shown = [(image, *main) for image in images if (main := classes.main(image)) is not None]
    if not shown:
        return
    seen = [asked.prepare(image.path) for image, _, _ in shown]
    predicted = asked.probabilities(seen).argmax(axis=1)
    count = len(asked.classifier.class_names)
    true = [target for _, _, target in shown]
    wrong = [wrong_class(image.name, classes.of(image).values(), count) for image, _, _ in shown]
    pixels = np.stack([one.pixels for one in seen])
    answers = {name: answers_of(name, asked.classifier.model, pixels, true, wrong) for name in methods}
    for i, (image, category, target) in enumerate(shown):
        boxes = image.boxes_on(pixels.shape[1:3], category)
        scores = {name: score(of_all[i], boxes) for name, of_all in answers.items()}
        yield Measured(image.name, target, int(predicted[i]), scores)


def score(answer: Answer, true: np.ndarray) -> Score:
    """Compare an answer with the true boxes, float [n, 4] in pixels of its maps."""
    ious = {rule: [best_iou(box, true) for box in boxes] for rule, boxes in answer.boxes.items()}
    mask = boxes_mask(true.tolist(), *answer.heat.shape)
    both = np.stack([answer.heat, answer.wrong_heat])
    hits, energies = pointing(both, mask[None])[:, 0], energy_inside(both, mask[None])[:, 0]
    maps = {
        "hit": float(hits[0]),
        "energy": float(energies[0]),
        "wrong hit": float(hits[1]),
        "wrong energy": float(energies[1]),
        "hit difference": float(hits[0] - hits[1]),
        "energy difference": float(energies[0] - energies[1]),
    }
    return Score(ious, maps | correlation(*both))


@dataclass(frozen=True)
class BoxRow:
    """A method's boxes by one rule with the chosen setting: an IoU for each reported image."""

    method: str
    rule: str
    setting: Mapping[str, float]
    ious: Mapping[str, float]
    right: Mapping[str, bool]

    def errors(self) -> dict[str, float]:
        """1 for each image that is predicted wrong or not localized, else 0."""
        return {name: float(not self.right[name] or iou < LOCALIZED) for name, iou in self.ious.items()}

    def summary(self) -> dict[str, Any]:
        """GT-known localization at three IoUs, and the top-1 localization error."""
        curves = {
            f"iou {level}": grouped_mean({name: float(iou >= level) for name, iou in self.ious.items()})
            for level in IOUS
        }
        return {"setting": dict(self.setting), **curves, "localization error": grouped_mean(self.errors())}


def box_rows(measured: Sequence[Measured], part: Part) -> list[BoxRow]:
    """Compute the rows of every method's rules.

    Settings are chosen on the tune part, and reported on the others (or on the tune part, if `part` is
    "tune"). Raises DataError if one of the two parts is missing.
    """
    tune, reported = tuned({image.name: image for image in measured}, part)
    right = {name: image.right for name, image in reported.items()}
    rows = []
    for method, first in measured[0].scores.items():
        for rule in first.ious:
            place = best_boxes([image.scores[method].ious[rule] for image in tune.values()])
            ious = {name: image.scores[method].ious[rule][place] for name, image in reported.items()}
            rows.append(BoxRow(method, rule, SETTINGS[rule][place], ious, right))
    return rows


def published_row(
    measured: Sequence[Measured], part: Part, published: Mapping[str, Published], data: ObjectData
) -> BoxRow | None:
    """The row of published boxes for the same network, on the images that `box_rows` reports."""
    shown = [image for image in measured if image.part == reported_part(part) and image.name in published]
    if not shown:
        return None
    true = {image.name: data[image.name].boxes_on((1, 1)) for image in shown}
    # The IoU is the same in fractions of the photo's sides as in pixels.
    boxes = {name: data[name].scaled([published[name].box], (1, 1))[0].tolist() for name in true}
    ious = {name: best_iou(boxes[name], true[name]) for name in true}
    right = {image.name: published[image.name].predicted == image.target for image in shown}
    return BoxRow(PUBLISHED, "-", {}, ious, right)


def published_for(name: str, data: ObjectData) -> Mapping[str, Published]:
    """The boxes that were published for a network of that name, ignoring case and dashes. Raises
    DataError."""
    published = read_published(data.folder, data.images)
    plain = {network.lower().replace("-", "").replace("_", ""): network for network in published}
    return published.get(plain.get(name.lower().replace("-", "").replace("_", ""), ""), {})


def map_summaries(measured: Sequence[Measured], part: Part) -> dict[str, dict[str, Summary]]:
    """Compute mean and standard error of every method's map figures over the images of the part."""
    shown = [image for image in measured if part in ("all", image.part)]
    names = shown[0].scores if shown else {}
    return {
        name: {
            metric: grouped_mean(
                {
                    image.name: image.scores[name].maps[metric]
                    for image in shown
                    if metric in image.scores[name].maps
                }
            )
            for metric in MAP_METRICS
        }
        for name in names
    }


def differences(rows: Sequence[BoxRow]) -> dict[str, Summary]:
    """Compute the first row's localization error minus each other row's, image by image."""
    first = rows[0].errors()
    found = {}
    for row in rows[1:]:
        errors = row.errors()
        found[f"{row.method}, {row.rule}"] = grouped_mean(
            {name: first[name] - error for name, error in errors.items()}
        )
    return found


class LocalizationTask(ObjectTask):
    """Measures boxes by every rule of every method, and its maps.

    The question is the class of a labelled image, or the category that covers most of an image with objects.
    """

    name: ClassVar[str] = "localization"
    batch: ClassVar[int] = 16
    tunes: ClassVar[bool] = True

    def tables(self, records: Records) -> Sequence[Table]:
        measured = self._measured(records)
        rows = self._rows(measured, _network(records))
        maps = map_summaries(measured, self.part)
        return [_boxes(rows), _differences(rows), _maps(maps)]

    def score(self, record: Record) -> float | None:
        """The energy of the true class's map inside the boxes."""
        return float(record["maps"]["energy"])

    def details(self, records: Records) -> Mapping[str, Any]:
        measured = self._measured(records)
        rows = self._rows(measured, _network(records))
        return {
            **super().details(records),
            "model": _network(records),
            "wrong class": WRONG_CLASS_RULE,
            "boxes": [{"method": row.method, "rule": row.rule, **as_json(row.summary())} for row in rows],
            f"{rows[0].method}, {rows[0].rule} minus": as_json(differences(rows)),
            "maps": as_json(map_summaries(measured, self.part)),
            "images": [_image(image, rows) for image in measured],
        }

    def _measured(self, records: Records) -> list[Measured]:
        first = next(iter(records.values()))
        return [
            Measured(
                name,
                first[name]["target"],
                first[name]["predicted"],
                {method: Score(of[name]["ious"], of[name]["maps"]) for method, of in records.items()},
            )
            for name in first
        ]

    def _rows(self, measured: Sequence[Measured], network: str) -> list[BoxRow]:
        rows = box_rows(measured, self.part)
        published = published_for(network, self.read)
        authors = published_row(measured, self.part, published, self.read)
        return rows + ([authors] if authors is not None else [])

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        images = [self.read[name] for name in names]
        return {
            image.name: {
                method: {
                    "network": subject.classifier.name,
                    "target": image.target,
                    "predicted": image.predicted,
                    "ious": dict(score.ious),
                    "maps": dict(score.maps),
                }
                for method, score in image.scores.items()
            }
            for image in measure(subject, subject.true_classes, images, methods)
        }

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The photo with the maps of the class in question, and its boxes."""
        image = self.read[name]
        main = subject.true_classes.main(image)
        if main is None:
            return None
        category, target = main
        seen = subject.prepare(image.path)
        heats = {method: subject.maps(method, [seen.pixels], [target])[0] for method in methods}
        maps = {method: seen.on_photo(heat) for method, heat in heats.items()}
        boxes = image.boxes_on(seen.photo_shape, category).tolist()
        return Example(seen.photo.pixels, maps, subject.classifier.class_names[target], boxes=boxes)


def _network(records: Records) -> str:
    """The classifier's name, which every record has."""
    return str(next(iter(next(iter(records.values())).values()))["network"])


def _boxes(rows: Sequence[BoxRow]) -> Table:
    metrics = [*(f"iou {level}" for level in IOUS), "localization error"]
    lines: list[tuple[str, list[Cell]]] = []
    for row in rows:
        summary = row.summary()
        setting = ", ".join(f"{name} {value}" for name, value in row.setting.items()) or "-"
        figures = [summary[metric] for metric in metrics]
        lines.append((row.method, [row.rule, setting, *figures]))
    notes = [f"{len(rows[0].ious)} images; settings chosen on the tune part; ± standard error"]
    return Table("Boxes", ["rule", "setting", *metrics], lines, notes, "method")


def _differences(rows: Sequence[BoxRow]) -> Table:
    lines = [(f"- {other}", [difference]) for other, difference in differences(rows).items()]
    return Table(f"Image by image: {rows[0].method}, {rows[0].rule}", ["localization error"], lines)


def _maps(maps: Mapping[str, Mapping[str, Summary]]) -> Table:
    metrics = MAP_METRICS
    lines = [(name, [row[metric] for metric in metrics]) for name, row in maps.items()]
    first = next(iter(maps.values()))
    notes = [f"{first['hit'].n} images; ± standard error; a uniform map has no correlation"]
    return Table("Maps", list(metrics), lines, notes, "method")


def _image(image: Measured, rows: Sequence[BoxRow]) -> dict[str, Any]:
    """The figures of an image; it has an IoU only if it is reported."""
    name = image.name
    ious = {f"{row.method}, {row.rule}": row.ious[name] for row in rows if name in row.ious}
    return {
        "file_name": name,
        "part": image.part,
        "label": image.target,
        "predicted": image.predicted,
        "ious": ious,
        "maps": {method: dict(score.maps) for method, score in image.scores.items()},
    }
