"""`gazeback evaluate robustness`: does a map change when the photo is corrupted?

The maps are of the class that is predicted for the clean photo. Photos are resized to the model's input
before they are corrupted, so that a level is the same for every size of photo.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from gazeback.eval.harness.means import mean_row, means_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.metrics.maps import energy_inside, pointing
from gazeback.eval.metrics.statistics import spearman
from gazeback.eval.perturbations.corruptions import CORRUPTIONS
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask
from gazeback.models.photos import Photo, load_photo

METRICS = {
    "correlation": ("Correlation with the clean photo's map", "Spearman's"),
    "energy": ("Change of the energy inside the boxes", "corrupted photo minus clean photo"),
    "hit": ("Change of the pointing game", "corrupted photo minus clean photo"),
}


class RobustnessTask(ObjectTask):
    """Compares maps of clean and of corrupted photos."""

    name: ClassVar[str] = "robustness"
    batch: ClassVar[int] = 4

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"corruptions": list(CORRUPTIONS)}

    def tables(self, records: Records) -> Sequence[Table]:
        return [_table(metric, records) for metric in METRICS] + [_stays(next(iter(records.values())))]

    def score(self, record: Record) -> float | None:
        """The mean correlation over all corruptions."""
        return float(np.mean(list(record["correlation"].values())))

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        return {name: self._measure_one(subject, name, methods) for name in names}

    def _measure_one(
        self, subject: ClassifierSubject, name: str, methods: Sequence[str]
    ) -> dict[str, Record]:
        image, classifier = self.read[name], subject.classifier
        size = classifier.input_size
        clean = resized(load_photo(image.path), size)
        photos = [clean, *(corrupted(clean) for corrupted in CORRUPTIONS.values())]
        pixels = [classifier.preprocess(photo).pixels for photo in photos]
        predicted = classifier.probabilities(np.stack(pixels)).argmax(axis=1)
        classes = np.full(len(photos), predicted[0])
        stays = _by_corruption((predicted[1:] == predicted[0]).astype(float))
        mask = image.boxes_mask_on(size)
        return {
            method: {"stays": stays, **compared(subject.maps(method, pixels, classes), mask)}
            for method in methods
        }


def resized(photo: Photo, size: tuple[int, int]) -> Photo:
    """Resize the whole photo to (height, width)."""
    small = Image.fromarray(photo.pixels).resize(size[::-1], Image.Resampling.BICUBIC)
    return Photo(np.asarray(small), photo.name)


def compared(maps: np.ndarray, mask: np.ndarray) -> dict[str, dict[str, float]]:
    """Compare maps [1 + corruptions, H, W], the clean photo's first, on the object's mask [H, W]: by metric
    and corruption."""
    energy, hit = energy_inside(maps, mask[None])[:, 0], pointing(maps, mask[None])[:, 0]
    correlation = [spearman(maps[0].ravel(), other.ravel()) for other in maps[1:]]
    return {
        "correlation": _by_corruption(np.array(correlation)),
        "energy": _by_corruption(energy[1:] - energy[0]),
        "hit": _by_corruption(hit[1:] - hit[0]),
    }


def _by_corruption(values: np.ndarray) -> dict[str, float]:
    return dict(zip(CORRUPTIONS, values.tolist(), strict=True))


def _table(metric: str, records: Records) -> Table:
    title, note = METRICS[metric]
    count = len(next(iter(records.values())))
    notes = [f"{count} images; ± standard error; {note}; the class that is predicted for the clean photo"]
    columns = dict(zip(CORRUPTIONS, CORRUPTIONS, strict=True))
    return means_table(title, records, columns, notes, lambda record, level: record[metric][level])


def _stays(records: Mapping[str, Record]) -> Table:
    cells = mean_row(records, list(CORRUPTIONS), lambda record, level: record["stays"][level])
    notes = [
        "blur: sigma in pixels of a photo of 224 x 224; noise: standard deviation of 255; jpeg: quality. "
        "The photo is first resized to the model's input, its aspect ratio not kept."
    ]
    return Table("The predicted class stays", list(CORRUPTIONS), [("fraction of images", cells)], notes)
