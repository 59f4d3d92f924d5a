"""`gazeback evaluate sketch`: is the evidence for a drawing on its strokes?

Only sketches that `gazeback train sketch` holds out are used, unless all are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import distance_transform_edt

from gazeback.cnn_trace.fixations import Fixations
from gazeback.eval.data.folder import wrong_class
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.data.selection import select
from gazeback.eval.harness.means import means_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.metrics.maps import energy_inside
from gazeback.eval.metrics.statistics import spearman
from gazeback.eval.perturbations.occlusion import order
from gazeback.eval.subjects.classifier import ClassifierSubject, ClassifierTask
from gazeback.eval.subjects.methods import class_maps, explain_classes
from gazeback.models.errors import DataError, ModelError
from gazeback.models.photos import Photo, load_photo
from gazeback.models.training.sketch_folder import Sketches, read_class_folders, read_sketch_folder

INK = 0.5

REACH = 2
"""The distance that counts as near, in pixels of the model's input."""


def strokes(pixels: np.ndarray) -> np.ndarray:
    """The drawn pixels, bool [H, W], of an input float32 [H, W, C] with strokes 1 on 0."""
    return pixels.max(axis=-1) >= INK


def near(mask: np.ndarray, reach: float = REACH) -> np.ndarray:
    """Mark the pixels whose centres are at most `reach` from that of a pixel of the mask, bool [H, W]."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    distance: np.ndarray = distance_transform_edt(~mask)
    return distance <= reach


def of_map(heat: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """Measure a map float [H, W] on strokes bool [H, W].

    on strokes: the fraction of the map's sum near the strokes. coverage: the fraction of the strokes' pixels
    that are among the most relevant pixels of the map, of which there are as many as are near strokes. A
    uniform map has the fraction of the area in both.
    """
    close = near(drawn)
    best = np.zeros(heat.size, bool)
    best[order(heat)[: int(close.sum())]] = True
    return {
        "map": float(energy_inside(heat[None], close[None])[0, 0]),
        "map coverage": float(best.reshape(heat.shape)[drawn].mean()),
    }


def of_points(fixations: Fixations, drawn: np.ndarray) -> dict[str, float]:
    """Measure points on strokes bool [H, W]: the fraction of their weight near strokes, and the fraction of
    the strokes' pixels that are near a point.

    The result is empty without points."""
    total = float(fixations.weights.sum())
    if not total > 0:
        return {}
    rows, columns = fixations.points.T
    reached = np.zeros(drawn.shape, bool)
    reached[rows, columns] = True
    inside = near(drawn)[rows, columns]
    return {
        "points": float(fixations.weights[inside].sum() / total),
        "point coverage": float(near(reached)[drawn].mean()),
    }


QUESTIONS = ("predicted", "true", "wrong")


@dataclass(frozen=True)
class SketchTask(ClassifierTask):
    """Measures the evidence of a classifier of sketches on a folder of sketches.

    `every`: measure all sketches, also those that training on this folder would not hold out."""

    name: ClassVar[str] = "sketch"
    every: bool = False

    @cached_property
    def _read(self) -> tuple[tuple[str, ...], Sketches]:
        if self.every:
            return read_class_folders(self.data)
        classes, splits = read_sketch_folder(self.data)
        return classes, splits["held-out"]

    @property
    def classes(self) -> tuple[str, ...]:
        return self._read[0]

    @cached_property
    def images(self) -> Mapping[str, ObjectImage]:
        """The measured sketches, by "class/file name"; their labels are indices of the folder's classes."""
        _, measured = self._read
        found = [
            ObjectImage(f"{path.parent.name}/{path.name}", path, label=label)
            for path, label in zip(measured.paths, measured.labels, strict=True)
        ]
        chosen = select(found, [image.name for image in found], self.part, self.limit)
        if not chosen:
            raise DataError(f"no sketch in the {self.part} part of {self.data}")
        return {image.name: image for image in chosen}

    def names(self) -> Sequence[str]:
        return list(self.images)

    def cache_key(self) -> Mapping[str, Any]:
        data = {"classes": list(self.classes), "model": self.model, "weights": self.weights}
        return {**data, "ink": INK, "reach": REACH}

    def files(self, name: str) -> Sequence[Path]:
        return (self.images[name].path,)

    def tables(self, records: Records) -> Sequence[Table]:
        return tables(records)

    def score(self, record: Record) -> float | None:
        """The fraction of the points' weight on the strokes, or of the map's sum if there are no points."""
        found = record["predicted"]
        return float(found.get("points", found["map"]))

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        labels = {name: self._label(subject, name) for name in names}
        known = [name for name in names if labels[name] is not None]
        if not known:
            return {}
        photos = [self._photo(name) for name in known]
        pixels = np.stack([subject.classifier.preprocess(photo).pixels for photo in photos])
        predicted = subject.classifier.probabilities(pixels).argmax(axis=1)
        true = np.array([labels[name] for name in known])
        classes = len(subject.classifier.class_names)
        wrong = np.array([wrong_class(name, [int(t)], classes) for name, t in zip(known, true, strict=True)])
        asked = dict(zip(QUESTIONS, (predicted, true, wrong), strict=True))
        answers = {method: self._answers(subject, method, pixels, asked) for method in methods}
        right = (predicted == true).astype(float)
        return {
            name: {
                method: {
                    "right": right[i],
                    "area": float(near(strokes(pixels[i])).mean()),
                    **answers[method][i],
                }
                for method in methods
            }
            for i, name in enumerate(known)
            if strokes(pixels[i]).any()
        }

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The drawing as the model reads it, with the maps of its predicted class."""
        pixels = subject.classifier.preprocess(self._photo(name)).pixels[None]
        predicted = subject.classifier.probabilities(pixels).argmax(axis=1)
        maps = {
            method: class_maps(method, subject.classifier.model, pixels, predicted)[0] for method in methods
        }
        paper = np.rint(255 * (1 - pixels[0].max(axis=-1, keepdims=True))).astype(np.uint8)
        title = subject.classifier.class_names[int(predicted[0])]
        return Example(np.repeat(paper, 3, axis=-1), maps, title, mask=near(strokes(pixels[0])))

    def _answers(
        self, subject: ClassifierSubject, method: str, pixels: np.ndarray, asked: Mapping[str, np.ndarray]
    ) -> list[dict[str, Any]]:
        """For each image, the figures of each question, and the correlation of the true and the wrong class's
        maps."""
        found = explain_classes(
            method, subject.classifier.model, pixels, np.stack(list(asked.values()), axis=1)
        )
        figures = []
        for i, (_, true, wrong) in enumerate(found.maps):
            of_image: dict[str, Any] = {"correlation": spearman(true.ravel(), wrong.ravel())}
            drawn = strokes(pixels[i])
            for j, question in enumerate(asked if drawn.any() else ()):
                of_image[question] = of_map(found.maps[i, j], drawn)
                if found.points is not None:
                    of_image[question] |= of_points(found.points[i][j], drawn)
            figures.append(of_image)
        return figures

    def _photo(self, name: str) -> Photo:
        return load_photo(self.images[name].path)

    def _label(self, subject: ClassifierSubject, name: str) -> int | None:
        """The classifier's index of a sketch's class, if it has the class."""
        label = self.images[name].label
        try:
            return None if label is None else subject.classifier.class_index(self.classes[label])
        except ModelError:
            return None


FIGURES = {
    "points": "points on strokes",
    "point coverage": "strokes near points",
    "map": "map on strokes",
    "map coverage": "strokes in the map",
}


def tables(records: Records) -> list[Table]:
    """Tables of the maps and points of the predicted class, and of the true and a wrong class."""
    first = next(iter(records.values()))
    area = np.mean([record["area"] for record in first.values()])
    right = np.mean([record["right"] for record in first.values()])
    notes = [
        f"{len(first)} sketches, {right:.3f} of them predicted correctly; ± standard error. On "
        f"strokes: within {REACH} pixels of the model's input; that is {area:.3f} of the area. Strokes near "
        f"points: the fraction of stroke pixels within {REACH} pixels of a point. Strokes in the map: the "
        "fraction of stroke pixels among the map's largest pixels, as many as are near strokes."
    ]
    predicted = {m: {n: r["predicted"] for n, r in of.items()} for m, of in records.items()}
    differences = {
        method: {
            name: {**_difference(record["true"], record["wrong"]), "correlation": record["correlation"]}
            for name, record in of.items()
        }
        for method, of in records.items()
    }
    columns = {"points": "points on strokes", "map": "map on strokes", "correlation": "map correlation"}
    about = [
        "The true class minus a wrong one, where both have points; a map without evidence has 0 on strokes. "
        "Correlation: Spearman's, of the two maps."
    ]
    return [
        means_table("The predicted class on the strokes", predicted, FIGURES, notes),
        means_table("The true class and a wrong one", differences, columns, about),
    ]


def _difference(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The differences of the figures that both have."""
    return {key: one[key] - other[key] for key in one if key in other}
