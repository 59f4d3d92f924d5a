"""`gazeback evaluate saliency`: do a classifier's maps cover the object?

The question is the class that the classifier predicts, as in *CNN Fixations* and *How You See Me*. The object
need not be of a class that the classifier has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.folder import Need
from gazeback.eval.data.image import ObjectImage, resized_mask
from gazeback.eval.data.selection import part_of
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.harness.tuning import best, reported_part, tuned
from gazeback.eval.metrics.pixels import LEVELS, PixelCounts, Scores, absolute_error, threshold
from gazeback.eval.metrics.statistics import Summary, grouped_mean
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask, Prepared
from gazeback.eval.subjects.methods import BASELINES, chosen_methods
from gazeback.models.errors import DataError

MANY_CATEGORIES = 8
"""The largest number of categories that have their own columns."""

TITLES = ("accuracy", "precision", "recall", "F", "IoU", "mean absolute error")

SCORES = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True, eq=False)
class Measured:
    """The figures of one method on one image: the counts of pixels by level, and the mean absolute error."""

    group: str
    counts: PixelCounts
    error: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Measured":
        return cls(record["category"], PixelCounts.unpacked(record["counts"]), record["error"])


def equal_error_by_group(images: Iterable[Measured]) -> dict[str, float]:
    """Compute pixel precision at equal error rate over all images of each category (*CNN Fixations*, Table
    II)."""
    groups: dict[str, list[PixelCounts]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image.counts)
    found = {group: PixelCounts.total(counts).equal_error_precision() for group, counts in groups.items()}
    return {group: precision for group, precision in sorted(found.items()) if precision is not None}


def equal_error_of_all(images: Iterable[Measured]) -> float | None:
    """Compute pixel precision at equal error rate over the pixels of all images."""
    return PixelCounts.total(image.counts for image in images).equal_error_precision()


def choose_level(images: Sequence[Measured]) -> int:
    """Find the level with the largest mean F over these images; if several are equal, the lowest."""
    means = [np.mean([image.counts.scores(level).f for image in images]) for level in range(1, LEVELS)]
    return 1 + best(means)


def mean_scores(images: Mapping[str, Measured], level: int) -> dict[str, Summary]:
    """Compute each score and the mean absolute error as means over the images, with standard errors."""
    scores = {name: asdict(image.counts.scores(level)) for name, image in images.items()}
    means = {metric: grouped_mean({name: of[metric] for name, of in scores.items()}) for metric in SCORES}
    return means | {"error": grouped_mean({name: image.error for name, image in images.items()})}


def pooled_scores(images: Sequence[Measured], level: int) -> dict[str, float]:
    """Compute each score and the mean absolute error over the pixels of all images together."""
    total = PixelCounts.total(image.counts for image in images)
    error = sum(image.error * image.counts.pixels for image in images) / total.pixels
    return asdict(total.scores(level)) | {"error": error}


def equal_error_table(images: Mapping[str, Mapping[str, Measured]], objects: str) -> Table:
    """The table of precision at equal error rate and average precision by method, and of the former for each
    category if they are few.

    `objects`: the kind of annotation, for the notes.
    """
    by_group = {method: equal_error_by_group(of_method.values()) for method, of_method in images.items()}
    groups = list(next(iter(by_group.values())))
    shown = groups if 1 < len(groups) <= MANY_CATEGORIES else []
    rows: list[tuple[str, list[Cell]]] = []
    for method, of_method in images.items():
        alone = {name: image.counts.equal_error_precision() for name, image in of_method.items()}
        area = {name: image.counts.average_precision() for name, image in of_method.items()}
        of_all = PixelCounts.total(image.counts for image in of_method.values()).average_precision()
        rows.append(
            (
                method,
                [
                    grouped_mean(by_group[method]),
                    equal_error_of_all(of_method.values()),
                    grouped_mean(alone),
                    of_all,
                    grouped_mean(area),
                    *(by_group[method][group] for group in shown),
                ],
            )
        )
    n = len(next(iter(images.values())))
    notes = [
        f"{n} images, {len(groups)} categories, {objects} of objects; one threshold for the pixels of a "
        "category's images, of all images, or of each image alone; nothing is tuned",
        "average precision: the area under the curve of precision over recall",
        "± standard error over categories, or over images",
    ]
    areas = ("average precision, pooled", "average precision, mean over images")
    columns = ("mean over categories", "all images pooled", "mean over images", *areas, *shown)
    return Table("Pixel precision at equal error rate", columns, rows, notes, "method")


def threshold_tables(
    reported: Mapping[str, Mapping[str, Measured]], levels: Mapping[str, int], part: str
) -> list[Table]:
    """The tables of the scores of each method at its level: means over the images, and over all pixels."""
    single: list[tuple[str, list[Cell]]] = []
    pooled: list[tuple[str, list[Cell]]] = []
    for method, images in reported.items():
        means = mean_scores(images, levels[method])
        totals = pooled_scores(list(images.values()), levels[method])
        shown = threshold(levels[method])
        single.append((method, [shown, *(means[metric] for metric in (*SCORES, "error"))]))
        pooled.append((method, [shown, *(totals[metric] for metric in (*SCORES, "error"))]))
    n = len(next(iter(reported.values())))
    note = (
        f"{n} images of the {part} part; threshold: the fraction of a map's maximum with the largest mean F "
        "on the tune part; the error is that of the map itself, scaled to a maximum of 1"
    )
    columns = ("threshold", *TITLES)
    return [
        Table("Mean over images", columns, single, [note, "± standard error over images"], "method"),
        Table("All pixels pooled", columns, pooled, [note], "method"),
    ]


BLOB = "center-blob"

BLOB_WIDTH = 0.25
"""The standard deviation of a Gaussian in the middle, as a fraction of each side; a baseline that depends on
no image or class."""


def known_of(images: Sequence[ObjectImage]) -> str:
    """The kind of annotation of the objects, in words."""
    if any(image.mask_path is not None for image in images):
        return "masks"
    outlined = any(one.outline is not None for image in images for one in image.objects)
    return "outlines" if outlined else "boxes"


class SaliencyTask(ObjectTask):
    """Compares maps of the predicted class with masks.

    `part`: "tune", or else the other images are reported."""

    name: ClassVar[str] = "saliency"
    need: ClassVar[Need | None] = "masks"
    tunes: ClassVar[bool] = True

    @cached_property
    def methods(self) -> Sequence[str]:
        return chosen_methods(self.chosen, (*BASELINES, BLOB))

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"question": "the predicted class", "levels": LEVELS}

    def tables(self, records: Records) -> Sequence[Table]:
        images = {
            method: {name: Measured.of(record) for name, record in of_method.items()}
            for method, of_method in records.items()
        }
        levels, reported = {}, {}
        for method, of_method in images.items():
            tune, reported[method] = tuned(of_method, self.part)
            levels[method] = choose_level(list(tune.values()))
        shown = {
            method: {name: image for name, image in of.items() if self.part in ("all", part_of(name))}
            for method, of in images.items()
        }
        return [
            equal_error_table(shown, known_of(self.read.images)),
            *threshold_tables(reported, levels, reported_part(self.part)),
        ]

    def score(self, record: Record) -> float | None:
        return PixelCounts.unpacked(record["counts"]).equal_error_precision()

    def details(self, records: Records) -> Mapping[str, Any]:
        found = {
            method: equal_error_by_group(map(Measured.of, of_method.values()))
            for method, of_method in records.items()
        }
        return {**super().details(records), "precision at equal error rate by category": found}

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        images = [self.read[name] for name in names]
        seen = [subject.prepare(image.path) for image in images]
        masks = [mask_on(image, one) for image, one in zip(images, seen, strict=True)]
        kept = [i for i, mask in enumerate(masks) if mask.any() and not mask.all()]
        if not kept:
            return {}
        predicted = subject.probabilities([seen[i] for i in kept]).argmax(axis=1)
        groups = {i: group_of(images[i]) for i in kept}
        found: dict[str, dict[str, Record]] = {names[i]: {} for i in kept}
        for method in methods:
            maps = self._maps(subject, method, [seen[i] for i in kept], predicted)
            for i, heat, target in zip(kept, maps, predicted, strict=True):
                found[names[i]][method] = {
                    "category": groups[i],
                    "predicted": int(target),
                    "counts": PixelCounts.of(heat, masks[i]).packed(),
                    "error": absolute_error(heat, masks[i]),
                }
        return found

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        image = self.read[name]
        seen = subject.prepare(image.path)
        mask = mask_on(image, seen)
        predicted = subject.probabilities([seen]).argmax(axis=1)
        maps = {method: next(self._maps(subject, method, [seen], predicted)) for method in methods}
        values = {
            method: f"precision {PixelCounts.of(heat, mask).equal_error_precision() or 0:.2f}"
            for method, heat in maps.items()
        }
        asked = subject.classifier.class_names[int(predicted[0])]
        return Example(seen.photo.pixels, maps, f"predicted: {asked}", values, mask=mask)

    def _maps(
        self, subject: ClassifierSubject, method: str, seen: Sequence[Prepared], classes: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yield maps over the photos, float [height, width]."""
        if method == BLOB:
            yield from (blob(one.photo.height, one.photo.width) for one in seen)
            return
        heats = subject.maps(method, [one.pixels for one in seen], classes)
        yield from (one.on_photo(heat) for one, heat in zip(seen, heats, strict=True))


def blob(height: int, width: int) -> np.ndarray:
    """A Gaussian in the middle, float64 [height, width], stretched with the image."""
    rows, columns = (
        np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / BLOB_WIDTH) ** 2) for side in (height, width)
    )
    return np.outer(rows, columns)


def mask_on(image: ObjectImage, seen: Prepared) -> np.ndarray:
    """The objects' mask in pixels of the photo, bool [height, width]. Raises PhotoError or DataError."""
    mask, shape = image.mask(), (seen.photo.height, seen.photo.width)
    if image.mask_path is not None and mask.shape != shape:
        raise DataError(f"{image.mask_path}: a mask of {mask.shape} pixels for an image of {shape}")
    return resized_mask(mask, shape)


def group_of(image: ObjectImage) -> str:
    """The category of an image: its own, or the one that covers most of the image."""
    if not image.objects:
        return image.group or "all"
    areas = {category: int(image.mask(category).sum()) for category in image.categories}
    return max(areas, key=lambda category: areas[category])
