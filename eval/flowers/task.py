"""`gazeback evaluate flowers`: do maps cover the part that decides the class?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.selection import select
from gazeback.eval.flowers import protocol
from gazeback.eval.flowers.flowers import SEEDS, class_names, flower
from gazeback.eval.flowers.maps import FILTER, IMAGE, Maps, build_maps
from gazeback.eval.flowers.network import load_network
from gazeback.eval.flowers.protocol import Measured, Picture
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Example, Record, Records, Task
from gazeback.eval.subjects.methods import ACTIVATION, CENTRE, chosen_methods
from gazeback.models.classifiers import Classifier, load_classifier
from gazeback.models.contents import digest
from gazeback.models.errors import UserError

TUNED, REPORTED = 60, 180
"""The numbers of pictures on which settings are chosen and reported if no limit is given."""

BASELINES = (FILTER, ACTIVATION, CENTRE, IMAGE)
"""The methods that are always measured: the strongest filter's map, the channel sum, a disc in the middle,
the whole picture."""


@dataclass(frozen=True, eq=False)
class FlowersSubject:
    """A network for one kind of flowers, and the methods that were asked so far."""

    kind: str
    classifier: Classifier
    _built: dict[str, Maps] = field(default_factory=dict)

    def maps(self, methods: Sequence[str]) -> dict[str, Maps]:
        """The methods of these names, ready for questions."""
        for method in methods:
            if method not in self._built:
                self._built[method] = build_maps(method, self.classifier, self.kind)
        return {method: self._built[method] for method in methods}


@dataclass(frozen=True)
class FlowersTask(Task[FlowersSubject]):
    """Measures maps on drawn flowers.

    `kind`: of flowers; `model`: a FILE.keras, or None for the bundled network; `chosen`: methods between
    commas; `limit`: the number of reported pictures, and the largest number of pictures on which settings are
    chosen."""

    name: ClassVar[str] = "flowers"
    batch: ClassVar[int] = protocol.BATCH
    kind: str
    chosen: str
    model: str | None = None
    limit: int | None = None

    @cached_property
    def methods(self) -> Sequence[str]:
        return chosen_methods(self.chosen, BASELINES)

    @cached_property
    def _pictures(self) -> dict[str, Picture]:
        """The pictures by name; with a limit, every class still has a picture of each part."""
        classes = len(class_names(self.kind))
        if self.limit is not None and self.limit < classes:
            raise UserError(f"--limit {self.limit}: each of the {classes} classes needs a picture")
        counts = {"tune": min(self.limit or TUNED, TUNED), "report": self.limit or REPORTED}
        pictures = [(part, index) for part, count in counts.items() for index in range(count)]
        named = {f"{part}-{SEEDS[part]}-{index:05d}": (part, index) for part, index in pictures}
        return {name: named[name] for name in select(list(named), list(named))}

    def names(self) -> Sequence[str]:
        return list(self._pictures)

    def cache_key(self) -> Mapping[str, Any]:
        if self.model is not None and not Path(self.model).is_file():
            raise UserError(f"--model {self.model}: no such file; expected one of gazeback train flowers")
        return {"kind": self.kind}

    def files(self, name: str) -> Sequence[Path]:
        return ()

    def model_digest(self, subject: FlowersSubject) -> str:
        return digest(subject.classifier)

    def subject(self) -> FlowersSubject:
        classifier = load_network(self.kind) if self.model is None else load_classifier(self.model)
        expected = class_names(self.kind)
        if classifier.class_names != expected:
            raise UserError(
                f"{self.model}: expected a network for {self.kind} with the classes {', '.join(expected)}; "
                "train one with gazeback train flowers"
            )
        return FlowersSubject(self.kind, classifier)

    def tables(self, records: Records) -> Sequence[Table]:
        rows = self._rows(records)
        one = [Measured.of(record) for record in records[self.methods[0]].values()]
        return [self._areas(rows, one), _curves(rows)]

    def score(self, record: Record) -> float | None:
        return protocol.area_under(record["curves"][0])

    def details(self, records: Records) -> Mapping[str, Any]:
        return {
            "selection": "settings are chosen on pictures of the seed for tuning, reported on another's",
            "published": protocol.PUBLISHED[self.kind],
            "settings": {row.method: dict(row.setting) for row in self._rows(records)},
        }

    def _rows(self, records: Records) -> list[protocol.Row]:
        found = {
            method: [Measured.of(record) for record in of_method.values()]
            for method, of_method in records.items()
        }
        tuned, reported = (
            {method: [one for one in all_ if one.picture[0] == part] for method, all_ in found.items()}
            for part in ("tune", "report")
        )
        return protocol.summarise(tuned, reported)

    def _areas(self, rows: Sequence[protocol.Row], measured: Sequence[Measured]) -> Table:
        reported = [one for one in measured if one.picture[0] == "report"]
        right = np.mean([one.predicted == one.label for one in reported])
        covered = np.mean([one.covered for one in reported])
        published = protocol.PUBLISHED[self.kind]
        cells: list[tuple[str, Sequence[Cell]]] = [
            (row.method, [row.chosen, row.as_published, _text(row.setting), published.get(row.method)])
            for row in rows
        ]
        notes = [
            f"{len(reported)} flowers, means over the classes; settings chosen on "
            f"{len(measured) - len(reported)} others; ± standard error",
            f"the network classifies {right:.1%} of them correctly; the part covers {covered:.1%} of "
            "a picture",
            "the paper's figures are of its own rendering, its own network, and the relevant features of the "
            "predicted class; here the question is the logit of the flower's class",
        ]
        columns = ["chosen setting", "as published", "setting", "the paper"]
        return Table(f"Area under the IoU curve, {self.kind}", columns, cells, notes)

    def measure(
        self, subject: FlowersSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        pictures = [self._pictures[name] for name in names]
        found = protocol.measure_batch(self.kind, subject.classifier, subject.maps(methods), pictures)
        return {
            name: {method: one.as_json() for method, one in of_picture.items()}
            for name, of_picture in zip(names, found, strict=True)
        }

    def example(self, subject: FlowersSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The picture with the maps as published."""
        part, index = self._pictures[name]
        drawn = flower(self.kind, SEEDS[part], index)
        pixels, label = drawn.image[None].astype(np.float32), np.array([drawn.label], np.int32)
        maps = {method: explain(pixels, label)[0][0] for method, explain in subject.maps(methods).items()}
        curves = {method: protocol.iou_curve(heat, drawn.mask) for method, heat in maps.items()}
        values = {method: f"area {protocol.area_under(curve):.2f}" for method, curve in curves.items()}
        return Example(
            drawn.image, maps, subject.classifier.class_names[drawn.label], values, mask=drawn.mask
        )


def _curves(rows: Sequence[protocol.Row]) -> Table:
    shown = range(0, len(protocol.THRESHOLDS), 2)
    columns = [f"{protocol.THRESHOLDS[i]:.1f}" for i in shown]
    cells = [(row.method, [row.curve[i] for i in shown]) for row in rows]
    return Table("Mean IoU by threshold, chosen settings", columns, cells)


def _text(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items()) or "-"
