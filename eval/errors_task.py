"""`gazeback evaluate errors`: what does a classifier look at when it is wrong?"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.asked_classifier import AskedClassifier, ObjectTask, Seen, label_classes
from gazeback.eval.class_task import mean_cell
from gazeback.eval.errors import Mistake, compared, most_confident
from gazeback.eval.errors_page import write_gallery
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records, Shown
from gazeback.eval.metrics import boxes_mask
from gazeback.eval.object_data import Kind, ObjectData
from gazeback.models.errors import DataError

COLUMNS = ("correlation of the two maps", "energy, predicted", "energy, true", "difference")


class ErrorsTask(ObjectTask):
    """The maps of the predicted and of the true class on images that are predicted wrong."""

    name: ClassVar[str] = "errors"
    kinds: ClassVar[Collection[Kind]] = ("labelled", "class folders")

    def open(self) -> "ErrorsMeasurer":
        return ErrorsMeasurer(self.read, self.ask())

    def tables(self, records: Records) -> Sequence[Table]:
        mistakes = {method: most_confident(of_method) for method, of_method in records.items()}
        images, wrong = (len(next(iter(of.values()))) for of in (records, mistakes))
        notes = [
            f"{wrong} of {images} images are predicted wrong; ± standard error over them",
            "energy: share of a map inside the boxes of the object, where there are boxes; difference: that "
            "of the true class minus that of the predicted one; an even map has no correlation",
        ]
        return [
            Table(
                "Predicted wrong", COLUMNS, [(m, _cells(of)) for m, of in mistakes.items()], notes, "method"
            )
        ]

    def worth(self, record: Record) -> float | None:
        """How little the two maps have in common: 1 minus their correlation."""
        mistake = Mistake.of(record)
        return None if mistake is None or mistake.correlation is None else 1 - mistake.correlation

    def write_pages(self, records: Records, stem: Path) -> list[Path]:
        """The gallery of the mistakes, `STEM-gallery.html`. Raises UserError."""
        return [write_gallery(self, records, stem.with_name(f"{stem.name}-gallery.html"))]


def _cells(mistakes: Mapping[str, Mistake]) -> list[Any]:
    return [
        mean_cell({name: mistake.correlation for name, mistake in mistakes.items()}),
        mean_cell({name: mistake.predicted_energy for name, mistake in mistakes.items()}),
        mean_cell({name: mistake.true_energy for name, mistake in mistakes.items()}),
        mean_cell({name: mistake.difference for name, mistake in mistakes.items()}),
    ]


class ErrorsMeasurer:
    """The task with its classifier."""

    def __init__(self, data: ObjectData, asked: AskedClassifier) -> None:
        """Raises DataError: the classifier's classes are others."""
        self.data, self.asked = data, asked
        self._classes = label_classes(data, asked.classifier)

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        seen = [self.asked.see(self.data[name].path) for name in names]
        probabilities = self.asked.probabilities(seen)
        predicted = probabilities.argmax(axis=1)
        true = np.array([self.true_class(name) for name in names])
        wrong = np.flatnonzero(predicted != true).tolist()
        records: dict[str, dict[str, Record]] = {
            name: {method: {"right": True} for method in methods} for name in names
        }
        for method in methods if len(wrong) else ():
            pairs = self.both_maps(method, [seen[i] for i in wrong], predicted[wrong], true[wrong])
            for i, maps in zip(wrong, pairs, strict=True):
                records[names[i]][method] = Mistake(
                    predicted=int(predicted[i]),
                    true=int(true[i]),
                    predicted_probability=float(probabilities[i, predicted[i]]),
                    true_probability=float(probabilities[i, true[i]]),
                    **compared(*maps, self._mask(names[i], seen[i])),
                ).as_record()
        return records

    def show(self, name: str, methods: Sequence[str]) -> Shown | None:
        """The maps of the predicted class; the gallery has both."""
        seen = self.asked.see(self.data[name].path)
        predicted, true = self.asked.probabilities([seen]).argmax(axis=1), self.true_class(name)
        heats = {method: self.asked.maps(method, [seen.pixels], predicted)[0] for method in methods}
        maps = {method: seen.on_photo(heat) for method, heat in heats.items()}
        names = self.asked.classifier.class_names
        title = f"predicted: {names[int(predicted[0])]}; true: {names[true]}"
        return Shown(seen.photo.pixels, maps, title, boxes=self.boxes(name, seen))

    def true_class(self, name: str) -> int:
        """The number of the class that an image is said to show. Raises DataError."""
        label = self.data[name].label
        if label is None:
            raise DataError(f"{name}: it is not known what it shows")
        return self._classes[label]

    def both_maps(
        self, method: str, seen: Sequence[Seen], predicted: np.ndarray, true: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The maps of two classes of each image, float [height, width] over the photo."""
        pixels = [one.pixels for one in seen]
        both = (self.asked.maps(method, pixels, classes) for classes in (predicted, true))
        for one, *maps in zip(seen, *both, strict=True):
            yield one.on_photo(maps[0]), one.on_photo(maps[1])

    def boxes(self, name: str, seen: Seen) -> list[list[float]]:
        """Those of the object, in pixels of the photo."""
        image = self.data[name]
        if image.size is None:
            return []
        scale = np.divide((seen.photo.width, seen.photo.height), image.annotated[::-1])
        return (image.boxes() * np.tile(scale, 2)).tolist()

    def _mask(self, name: str, seen: Seen) -> np.ndarray | None:
        boxes = self.boxes(name, seen)
        return boxes_mask(boxes, seen.photo.height, seen.photo.width) if boxes else None
