"""A task of the evaluation harness that needs no model."""

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Task
from gazeback.eval.metrics.statistics import Mean
from gazeback.models.errors import PhotoError


@dataclass(frozen=True)
class Lengths(Task[None]):
    """Measures file names; keeps a log of what it was asked, one line a call."""

    folder: Path
    count: int = 10
    methods: tuple[str, ...] = ("letters", "half")
    bad: tuple[str, ...] = ()
    pause: float = 0.0
    model: str = ""

    name = "lengths"
    batch = 4

    @property
    def skipped(self):
        return Counter({"duplicated image": 1})

    def names(self):
        return [f"{'x' * number}.png" for number in range(self.count)]

    def cache_key(self):
        return {"count": self.count}

    def files(self, name):
        return (self.folder / name,)

    def model_digest(self, subject):
        return self.model

    def subject(self):
        return None

    def measure(self, subject, names, methods):
        for name in names:
            if name in self.bad:
                raise PhotoError(f"{name} is broken")
        time.sleep(self.pause)
        with (self.folder / "asked.log").open("a") as log:
            log.writelines(f"{name} {method} {os.getpid()}\n" for name in names for method in methods)
        values = {"letters": 1.0, "half": 0.5, "other": 2.0}
        return {
            name: {method: {"value": values[method] * len(name)} for method in methods}
            for name in names
            if len(name) != 5 or "nothing" not in self.methods
        }

    def example(self, subject, name, methods):
        photo = np.full((20, 30, 3), 120, np.uint8)
        mask = np.zeros((20, 30), bool)
        mask[5:10, 5:10] = True
        heat = np.eye(4)
        return Example(photo, dict.fromkeys(methods, heat), f"<b>{name}</b>", {}, [[1, 2, 9, 9]], mask)

    def tables(self, records):
        rows = []
        for method, of_images in records.items():
            mean = Mean()
            for name, record in of_images.items():
                mean.update(record["value"], name)
            rows.append((method, [mean.summary()]))
        return [
            Table("Lengths | all", ["length"], rows, [f"{len(records[self.methods[0]])} names"], "method")
        ]

    def score(self, record):
        return record["value"]

    def details(self, records):
        return {"more": 1}
