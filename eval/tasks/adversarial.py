"""`gazeback evaluate adversarial`: does the evidence move when a changed photo fools the classifier?

This follows *CNN Fixations*, IEEE TIP 2018, section IV-F, with DeepFool. It uses photos whose class is
predicted correctly. Three maps are compared: that of the class on the photo, that of the class on the changed
photo, and that of the new class on the changed photo.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.harness.means import mean_row, means_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.metrics.maps import energy_inside
from gazeback.eval.metrics.statistics import spearman
from gazeback.eval.perturbations import deepfool
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask

COLUMNS = {
    "energy": "energy, class",
    "energy changed": "class, changed photo",
    "energy new": "new class, changed photo",
    "correlation changed": "correlation, class",
    "correlation new": "correlation, new class",
}


class AdversarialTask(ObjectTask):
    """Compares maps before and after DeepFool."""

    name: ClassVar[str] = "adversarial"
    batch: ClassVar[int] = 4
    asks_true: ClassVar[bool] = True

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "classes": deepfool.CLASSES,
            "overshoot": deepfool.OVERSHOOT,
            "iterations": deepfool.ITERATIONS,
        }

    def tables(self, records: Records) -> Sequence[Table]:
        first = next(iter(records.values()))
        notes = [
            f"{len(first)} images whose class is predicted correctly; ± standard error. Energy: the fraction "
            "of a map inside the object's boxes. Correlation: Spearman's, with the class's map on the photo."
        ]
        return [means_table("Maps of fooled classifiers", records, COLUMNS, notes), _changes(first)]

    def score(self, record: Record) -> float | None:
        """The similarity of the class's maps on both photos."""
        value = record.get("correlation changed")
        return None if value is None else float(value)

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        seen = [subject.prepare(self.read[name].path) for name in names]
        predicted = subject.probabilities(seen).argmax(axis=1).tolist()
        found: dict[str, dict[str, Record]] = {}
        for name, one, label in zip(names, seen, predicted, strict=True):
            image, photo = self.read[name], one.pixels
            category = next(
                (c for c, number in subject.true_classes.boxed(image).items() if number == label), None
            )
            if category is None:
                continue
            mask = image.boxes_mask_on(photo.shape[:2], category)
            fooled = deepfool.deepfool(subject.classifier, photo)
            of_photo = {**fooled.size(photo), "steps": fooled.iterations}
            of_photo["fooled"] = float(fooled.after != fooled.before)
            found[name] = {
                method: {**of_photo, **self._of(subject, method, photo, fooled, mask)} for method in methods
            }
        return found

    def _of(
        self,
        subject: ClassifierSubject,
        method: str,
        photo: np.ndarray,
        fooled: deepfool.Fooled,
        mask: np.ndarray,
    ) -> dict[str, float]:
        if fooled.after == fooled.before:
            return {}
        photos = [photo, fooled.pixels, fooled.pixels]
        classes = [fooled.before, fooled.before, fooled.after]
        return compared(subject.maps(method, photos, classes), mask)


def compared(maps: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Compare maps [3, H, W] (class; class on the changed photo; new class there) on the object's mask [H,
    W]."""
    energies = energy_inside(maps, mask[None])[:, 0]
    return {
        "energy": float(energies[0]),
        "energy changed": float(energies[1]),
        "energy new": float(energies[2]),
        "correlation changed": spearman(maps[0].ravel(), maps[1].ravel()),
        "correlation new": spearman(maps[0].ravel(), maps[2].ravel()),
    }


def _changes(records: Mapping[str, Record]) -> Table:
    columns = {
        "fooled": "fooled",
        "steps": "steps",
        "relative": "length, in thousandths of the photo's",
        "rms": "root mean square per value",
    }
    scale = {"relative": 1000.0}
    cells = mean_row(records, list(columns), lambda record, key: scale.get(key, 1.0) * record[key])
    notes = ["DeepFool, L2, on values as the model reads them."]
    return Table("Changes", list(columns.values()), [("DeepFool", cells)], notes)
