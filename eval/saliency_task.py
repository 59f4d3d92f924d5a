"""`gazeback evaluate saliency`: do a classifier's maps cover the object?

The question is the class that the classifier predicts, as in *CNN Fixations* and *How You See Me*: the object
need not be one that it knows.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from gazeback.eval import saliency
from gazeback.eval.asked_classifier import AskedClassifier, ObjectTask, Seen
from gazeback.eval.class_maps import chosen_methods
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records, Shown
from gazeback.eval.object_data import Kind, ObjectData
from gazeback.eval.objects import ObjectImage
from gazeback.eval.pixel_metrics import LEVELS, PixelCounts, absolute_error
from gazeback.eval.saliency import Measured
from gazeback.models.errors import DataError

BLOB = "center-blob"
BLOB_WIDTH = 0.25
"""Standard deviation of a Gaussian in the middle, as a share of each side; it knows no image and no class."""

OBJECTS = {"COCO": "outlines", "labelled": "boxes", "masks": "masks"}
"""What is known of the objects in each format."""


class SaliencyTask(ObjectTask):
    """Maps of the predicted class against masks. `part`: "tune", or else the rest is reported."""

    name: ClassVar[str] = "saliency"
    kinds: ClassVar[Collection[Kind]] = ("COCO", "labelled", "masks")
    tunes: ClassVar[bool] = True

    @cached_property
    def methods(self) -> Sequence[str]:
        return [*chosen_methods(self.chosen), BLOB]

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"question": "the predicted class", "levels": LEVELS}

    def open(self) -> "SaliencyMeasurer":
        return SaliencyMeasurer(self.read, self.ask())

    def tables(self, records: Records) -> Sequence[Table]:
        images = {
            method: {name: Measured.of(record) for name, record in of_method.items()}
            for method, of_method in records.items()
        }
        levels, reported = {}, {}
        for method, of_method in images.items():
            tune, rest = saliency.parts(of_method)
            reported[method] = tune if self.part == "tune" else rest
            if not tune or not reported[method]:
                raise DataError(
                    f"{len(tune)} images of the tune part and {len(reported[method])} to report: the "
                    "threshold is chosen on one part and reported on the other; raise the limit"
                )
            levels[method] = saliency.choose_level(list(tune.values()))
        return [
            saliency.equal_error_table(images, OBJECTS[self.read.kind]),
            *saliency.threshold_tables(reported, levels, "tune" if self.part == "tune" else "report"),
        ]

    def worth(self, record: Record) -> float | None:
        return PixelCounts.unpacked(record["counts"]).equal_error_precision()

    def details(self, records: Records) -> Mapping[str, Any]:
        found = {
            method: saliency.equal_error_by_group(map(Measured.of, of_method.values()))
            for method, of_method in records.items()
        }
        return {**super().details(records), "precision at equal error rate by category": found}


@dataclass(frozen=True, eq=False)
class SaliencyMeasurer:
    """The task with its classifier."""

    data: ObjectData
    asked: AskedClassifier

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        images = [self.data[name] for name in names]
        seen = [self.asked.see(image.path) for image in images]
        masks = [mask_on(image, one) for image, one in zip(images, seen, strict=True)]
        kept = [i for i, mask in enumerate(masks) if mask.any() and not mask.all()]
        if not kept:
            return {}
        predicted = self.asked.probabilities([seen[i] for i in kept]).argmax(axis=1)
        groups = {i: group_of(images[i]) for i in kept}
        found: dict[str, dict[str, Record]] = {names[i]: {} for i in kept}
        for method in methods:
            maps = self._maps(method, [seen[i] for i in kept], predicted)
            for i, heat, target in zip(kept, maps, predicted, strict=True):
                found[names[i]][method] = {
                    "category": groups[i],
                    "predicted": int(target),
                    "counts": PixelCounts.of(heat, masks[i]).packed(),
                    "error": absolute_error(heat, masks[i]),
                }
        return found

    def show(self, name: str, methods: Sequence[str]) -> Shown | None:
        image = self.data[name]
        seen = self.asked.see(image.path)
        mask = mask_on(image, seen)
        predicted = self.asked.probabilities([seen]).argmax(axis=1)
        maps = {method: next(self._maps(method, [seen], predicted)) for method in methods}
        values = {
            method: f"precision {PixelCounts.of(heat, mask).equal_error_precision() or 0:.2f}"
            for method, heat in maps.items()
        }
        asked = self.asked.classifier.class_names[int(predicted[0])]
        return Shown(seen.photo.pixels, maps, f"predicted: {asked}", values, mask=mask)

    def _maps(self, method: str, seen: Sequence[Seen], classes: np.ndarray) -> Iterator[np.ndarray]:
        """Maps over the photos, float [height, width], one after the other."""
        if method == BLOB:
            yield from (blob(one.photo.height, one.photo.width) for one in seen)
            return
        heats = self.asked.maps(method, [one.pixels for one in seen], classes)
        yield from (one.on_photo(heat) for one, heat in zip(seen, heats, strict=True))


def blob(height: int, width: int) -> np.ndarray:
    """A Gaussian in the middle, float64 [height, width], as wide as the image is."""
    rows, columns = (
        np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / BLOB_WIDTH) ** 2) for side in (height, width)
    )
    return np.outer(rows, columns)


def mask_on(image: ObjectImage, seen: Seen) -> np.ndarray:
    """The objects' mask in pixels of the photo, bool [height, width]. Raises PhotoError or DataError."""
    mask, shape = image.mask(), (seen.photo.height, seen.photo.width)
    if mask.shape == shape:
        return mask
    if image.mask_path is not None:
        raise DataError(f"{image.mask_path}: a mask of {mask.shape} pixels for an image of {shape}")
    scaled = Image.fromarray(mask).resize(shape[::-1], Image.Resampling.NEAREST)
    return np.asarray(scaled, bool)


def group_of(image: ObjectImage) -> str:
    """The category that an image counts for: its own, or that of its objects that covers most."""
    if not image.objects:
        return image.group or "all"
    areas = {category: int(image.mask(category).sum()) for category in image.categories}
    return max(areas, key=lambda category: areas[category])
