"""`gazeback evaluate localization`: boxes and maps of a classifier, from a data folder to the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gazeback.eval import localization
from gazeback.eval.class_task import ClassTask
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Record, Records, Shown
from gazeback.eval.localization import BoxRow, Measured, Score
from gazeback.eval.localization_data import WRONG_CLASS_RULE, LocalizationData, read
from gazeback.eval.localization_methods import build_method
from gazeback.models.classifiers import Classifier
from gazeback.models.photos import load_photo


class LocalizationTask(ClassTask):
    """Boxes by every rule of every method, and its maps."""

    name: ClassVar[str] = "localization"
    batch: ClassVar[int] = 16

    @cached_property
    def read(self) -> LocalizationData:
        # The tune part is measured even if only the other one is reported: settings are chosen on it.
        return LocalizationData(self.data, "tune" if self.part == "tune" else "all", self.limit)

    def open(self) -> "LocalizationMeasurer":
        return LocalizationMeasurer(self, self.load())

    def tables(self, records: Records) -> Sequence[Table]:
        measured = self._measured(records)
        rows = self._rows(measured, _network(records))
        maps = localization.map_summaries(measured, self.part)
        return [_boxes(rows), _differences(rows), _maps(maps)]

    def worth(self, record: Record) -> float | None:
        """The energy of the true class's map inside the boxes."""
        return float(record["maps"]["energy"])

    def details(self, records: Records) -> Mapping[str, Any]:
        measured = self._measured(records)
        rows = self._rows(measured, _network(records))
        return {
            "model": _network(records),
            "part": self.part,
            "limit": self.limit,
            "wrong class": WRONG_CLASS_RULE,
            "boxes": [{"method": row.method, "rule": row.rule, **row.summary()} for row in rows],
            f"{rows[0].method}, {rows[0].rule} minus": localization.differences(rows),
            "maps": localization.map_summaries(measured, self.part),
            "images": [_image(image, rows) for image in measured],
        }

    def _measured(self, records: Records) -> list[Measured]:
        first = next(iter(records.values()))
        return [
            Measured(
                self.images[name],
                first[name]["predicted"],
                {method: Score(of[name]["ious"], of[name]["maps"]) for method, of in records.items()},
            )
            for name in first
        ]

    def _rows(self, measured: Sequence[Measured], network: str) -> list[BoxRow]:
        rows = localization.box_rows(measured, self.part)
        published = localization.published_for(network, self.read)
        authors = localization.published_row(measured, self.part, published)
        return rows + ([authors] if authors is not None else [])


@dataclass(frozen=True, eq=False)
class LocalizationMeasurer:
    """The classifier and its methods."""

    task: LocalizationTask
    classifier: Classifier

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        batch = read([self.task.images[name] for name in names], self.classifier)
        built = {method: build_method(method, self.classifier) for method in methods}
        return {
            image.image.file_name: {
                method: {
                    "network": self.classifier.name,
                    "predicted": image.predicted,
                    "ious": dict(score.ious),
                    "maps": dict(score.maps),
                }
                for method, score in image.scores.items()
            }
            for image in localization.measure(self.classifier, built, batch)
        }

    def show(self, name: str, methods: Sequence[str]) -> Shown | None:
        image = self.task.images[name]
        batch = read([image], self.classifier)
        wrong = np.array([image.wrong_class(len(self.classifier.class_names))])
        photo = load_photo(image.path)
        maps = {method: build_method(method, self.classifier)(batch, wrong)[0].heat for method in methods}
        boxes = image.boxes_on(photo.height, photo.width).tolist()
        return Shown(photo.pixels, maps, self.classifier.class_names[image.label], boxes=boxes)


def _network(records: Records) -> str:
    """The classifier's name, which every record has."""
    return str(next(iter(next(iter(records.values())).values()))["network"])


def _boxes(rows: Sequence[BoxRow]) -> Table:
    metrics = [*(f"iou {level}" for level in localization.IOUS), "localization error"]
    lines: list[tuple[str, list[Cell]]] = []
    for row in rows:
        summary = row.summary()
        setting = ", ".join(f"{name} {value}" for name, value in row.setting.items()) or "-"
        figures = [localization.summary_of(summary[metric]) for metric in metrics]
        lines.append((row.method, [row.rule, setting, *figures]))
    notes = [f"{len(rows[0].ious)} images; settings chosen on the tune part; ± standard error"]
    return Table("Boxes", ["rule", "setting", *metrics], lines, notes, "method")


def _differences(rows: Sequence[BoxRow]) -> Table:
    lines = [
        (f"- {other}", [localization.summary_of(difference)])
        for other, difference in localization.differences(rows).items()
    ]
    return Table(f"Image by image: {rows[0].method}, {rows[0].rule}", ["localization error"], lines)


def _maps(maps: Mapping[str, Mapping[str, Any]]) -> Table:
    metrics = localization.MAP_METRICS
    lines = [
        (name, [localization.summary_of(row[metric]) for metric in metrics]) for name, row in maps.items()
    ]
    first = next(iter(maps.values()))
    notes = [f"{first['hit']['n']} images; ± standard error; an even map has no correlation"]
    return Table("Maps", list(metrics), lines, notes, "method")


def _image(image: Measured, rows: Sequence[BoxRow]) -> dict[str, Any]:
    """What was found on an image; an IoU only where it is reported."""
    name = image.image.file_name
    ious = {f"{row.method}, {row.rule}": row.ious[name] for row in rows if name in row.ious}
    return {
        "file_name": name,
        "part": image.part,
        "label": image.image.label,
        "predicted": image.predicted,
        "ious": ious,
        "maps": {method: dict(score.maps) for method, score in image.scores.items()},
    }
