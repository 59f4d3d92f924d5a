"""A toy of an evaluation task, written by the recipe in docs/architecture.md."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from gazeback.eval.harness.means import means_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask


class BrightnessTask(ObjectTask):
    """The mean brightness of the input, weighted by the map of the predicted class."""

    name: ClassVar[str] = "brightness"

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        seen = [subject.prepare(self.read[name].path) for name in names]
        pixels, predicted = [one.pixels for one in seen], subject.probabilities(seen).argmax(axis=1)
        bright = np.stack(pixels).mean(axis=-1)
        found: dict[str, dict[str, Record]] = {name: {} for name in names}
        for method in methods:
            heats = subject.maps(method, pixels, predicted)
            for name, value in zip(names, (heats * bright).sum((1, 2)) / heats.sum((1, 2)), strict=True):
                found[name][method] = {"brightness": float(value)}
        return found

    def tables(self, records: Records) -> Sequence[Table]:
        return [means_table("Brightness", records, {"brightness": "under the map"}, ["a toy"])]

    def score(self, record: Record) -> float | None:
        return float(record["brightness"])
