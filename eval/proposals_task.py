"""`gazeback evaluate proposals`: does the one box of the predicted class hold an object, whatever it is?"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from gazeback.eval import proposals
from gazeback.eval.asked_classifier import AskedClassifier, ObjectTask, Seen
from gazeback.eval.class_task import mean_cell
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records, Shown
from gazeback.eval.localization_data import Batch, LabelledImage
from gazeback.eval.localization_methods import Answer, Method, build_method
from gazeback.eval.object_data import Kind, ObjectData
from gazeback.eval.objects import ObjectImage
from gazeback.eval.proposals import ProposalRow, on_annotated

COLUMNS = ("rule", "setting", "images with a hit", "mean recall", "mean precision")


class ProposalsTask(ObjectTask):
    """A box for each image, by every rule of a method, against the boxes of all its objects but crowds."""

    name: ClassVar[str] = "proposals"
    kinds: ClassVar[Collection[Kind]] = ("COCO", "labelled")
    tunes: ClassVar[bool] = True

    @property
    def settings(self) -> Mapping[str, Any]:
        rules = {rule: list(of_rule) for rule, of_rule in proposals.SETTINGS.items()}
        return {"question": "the predicted class", "iou": proposals.IOU, "rules": rules}

    def open(self) -> "ProposalsMeasurer":
        return ProposalsMeasurer(self.read, self.ask())

    def tables(self, records: Records) -> Sequence[Table]:
        rows = proposals.rows(records, self.part)
        categories = rows[0].recalls()
        objects = sum(len(image.categories) for image in rows[0].images.values())
        notes = [
            f"{objects} objects of {len(categories)} categories in {len(rows[0].images)} images of the "
            f"{'tune' if self.part == 'tune' else 'report'} part; an object is found by a box with an "
            f"intersection over union of {proposals.IOU} or more; settings chosen on the tune part",
            "recall: share of a category's objects that are found; precision: share of the images with the "
            "category in which one of its objects is found; a box hardly ever finds more than one object",
            "± standard error over images, or over categories",
        ]
        return [
            Table("One box an image", COLUMNS, [(row.method, _cells(row)) for row in rows], notes, "method")
        ]

    def worth(self, record: Record) -> float | None:
        """The best fit of the first rule's boxes, whatever their setting."""
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
            for row in proposals.rows(records, self.part)
        ]
        return {**super().details(records), "by category": found}


def _cells(row: ProposalRow) -> list[Any]:
    setting = ", ".join(f"{name} {value}" for name, value in row.setting.items()) or "-"
    return [row.rule, setting, mean_cell(row.hits()), mean_cell(row.recalls()), mean_cell(row.precisions())]


@dataclass(frozen=True, eq=False)
class ProposalsMeasurer:
    """The task with its classifier."""

    data: ObjectData
    asked: AskedClassifier
    _built: dict[str, Method] = field(default_factory=dict)

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        images = [self.data[name] for name in names if len(self.data[name].boxes())]
        if not images:
            return {}
        seen = [self.asked.see(image.path) for image in images]
        predicted = self.asked.probabilities(seen).argmax(axis=1)
        records: dict[str, dict[str, Record]] = {image.name: {} for image in images}
        for method in methods:
            answers = self._answers(method, images, seen, predicted)
            for image, one, target, answer in zip(images, seen, predicted, answers, strict=True):
                records[image.name][method] = _record(image, one, int(target), answer)
        return records

    def show(self, name: str, methods: Sequence[str]) -> Shown | None:
        image = self.data[name]
        seen = self.asked.see(image.path)
        predicted = self.asked.probabilities([seen]).argmax(axis=1)
        answers = {method: self._answers(method, [image], [seen], predicted)[0] for method in methods}
        maps = {method: seen.on_photo(answer.heat) for method, answer in answers.items()}
        record = {m: _record(image, seen, int(predicted[0]), answer) for m, answer in answers.items()}
        values = {
            m: ", ".join(f"{rule} {max(of['best']):.2f}" for rule, of in record[m]["rules"].items())
            for m in answers
        }
        photo = (seen.photo.height, seen.photo.width)
        boxes = image.boxes() * np.tile(np.divide(photo, image.annotated)[::-1], 2)
        asked = self.asked.classifier.class_names[int(predicted[0])]
        return Shown(seen.photo.pixels, maps, f"predicted: {asked}; best fits", values, boxes.tolist())

    def _answers(
        self, method: str, images: Sequence[ObjectImage], seen: Sequence[Seen], predicted: np.ndarray
    ) -> list[Answer]:
        """Boxes and maps of the predicted classes, on the inputs."""
        if method not in self._built:
            self._built[method] = build_method(method, self.asked.classifier)
        nothing = np.zeros((0, 4))
        labelled = [
            LabelledImage(image.name, image.path, int(target), nothing)
            for image, target in zip(images, predicted, strict=True)
        ]
        batch = Batch(labelled, np.stack([one.pixels for one in seen]))
        return self._built[method](batch, np.asarray(predicted))


def _record(image: ObjectImage, seen: Seen, predicted: int, answer: Answer) -> Record:
    single = [one for one in image.objects if not one.crowd]
    categories, objects = [one.category for one in single], image.boxes()
    rules = {}
    for rule, boxes in answer.boxes.items():
        moved = [on_annotated(box, seen.prepared, image.annotated) for box in boxes]
        of_rule = proposals.found(moved, objects, categories)
        rules[rule] = {"hits": of_rule.hits, "best": of_rule.best}
    return {"predicted": predicted, "categories": categories, "rules": rules}
