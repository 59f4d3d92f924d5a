"""Photos with a class and boxes, and a classifier that is asked about them: what several tasks share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.class_maps import ClassMaps, build_class_maps, chosen_methods
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Record, Records, Shown
from gazeback.eval.localization_data import LabelledImage, LocalizationData
from gazeback.eval.metrics import Mean
from gazeback.eval.selection import Part
from gazeback.models.classifiers import Classifier, load_classifier
from gazeback.models.photos import load_photo


@dataclass(frozen=True)
class ClassifierTask:
    """The data and which of it, the classifier, and the methods between commas."""

    data: Path
    model: str
    weights: str | None
    part: Part
    limit: int | None
    chosen: str

    @cached_property
    def methods(self) -> Sequence[str]:
        return chosen_methods(self.chosen)

    def details(self, records: Records) -> Mapping[str, Any]:
        return {"model": self.model, "part": self.part, "limit": self.limit}


@dataclass(frozen=True)
class ClassTask(ClassifierTask):
    """Of photos with a class and boxes."""

    batch: ClassVar[int] = 4

    @cached_property
    def read(self) -> LocalizationData:
        return LocalizationData(self.data, self.part, self.limit)

    @cached_property
    def images(self) -> Mapping[str, LabelledImage]:
        return {image.file_name: image for image in self.read.images}

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else the records depend on. JSON."""
        return {}

    def names(self) -> Sequence[str]:
        return list(self.images)

    def about(self) -> Mapping[str, Any]:
        return {"data": self.read.digest, "model": self.model, "weights": self.weights, **self.settings}

    def load(self) -> Classifier:
        """The classifier. Raises UserError if it has other classes than the data."""
        classifier = load_named(self.model, self.weights)
        self.read.check_fits(classifier)
        return classifier


class ClassMeasurer:
    """A classifier and the maps of its methods, each method built when it is first asked for."""

    def __init__(self, task: ClassTask, classifier: Classifier) -> None:
        self.task, self.classifier = task, classifier
        self._built: dict[str, ClassMaps] = {}

    def maps(self, method: str, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Maps float32 [n, H, W] of classes int [n] on images [n, H, W, C]."""
        if method not in self._built:
            self._built[method] = build_class_maps(method, self.classifier)
        return self._built[method](pixels, classes)

    def show(self, name: str, methods: Sequence[str]) -> Shown | None:
        """The photo with the maps of its predicted class, and its boxes."""
        image = self.task.images[name]
        photo = load_photo(image.path)
        pixels = self.classifier.preprocess(photo).pixels[None]
        predicted = self.classifier.probabilities(pixels).argmax(axis=1)
        maps = {method: self.maps(method, pixels, predicted)[0] for method in methods}
        boxes = image.boxes_on(photo.height, photo.width).tolist()
        return Shown(photo.pixels, maps, self.classifier.class_names[int(predicted[0])], boxes=boxes)


def load_named(model: str, weights: str | None) -> Classifier:
    """A classifier as the command line names it. Raises UserError."""
    return load_classifier(model) if weights is None else load_classifier(model, weights=weights)


def mean_cell(values: Mapping[str, float | None]) -> Cell:
    """The mean of values by image, with its standard error; those that are None do not count."""
    mean = Mean()
    for image, value in values.items():
        if value is not None:
            mean.update(value, group=image)
    return mean.summary()


def mean_row(records: Mapping[str, Record], columns: Sequence[str]) -> list[Cell]:
    """The means of some figures of a method's records by image; figures that a record lacks do not count."""
    return [mean_cell({name: record.get(key) for name, record in records.items()}) for key in columns]


def means_table(title: str, records: Records, columns: Mapping[str, str], notes: Sequence[str]) -> Table:
    """A line for each method: the means of figures, given as key of the record and title of the column."""
    rows = [(method, mean_row(of_method, list(columns))) for method, of_method in records.items()]
    return Table(title, list(columns.values()), rows, notes, "method")
