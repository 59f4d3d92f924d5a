"""Figures and tables of the saliency task: maps against the masks of objects.

Two views of the same pixels: each image for itself and then their mean, or all pixels together ("pooled"), in
which large images and objects weigh more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from gazeback.eval.class_task import mean_cell
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.metrics import Mean, Summary
from gazeback.eval.pixel_metrics import LEVELS, PixelCounts, Scores, threshold
from gazeback.eval.selection import part_of

MANY_CATEGORIES = 8
"""More get no columns of their own."""

TITLES = ("accuracy", "precision", "recall", "F", "IoU", "mean absolute error")
SCORES = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True, eq=False)
class Measured:
    """One method on one image: whose pixels have which level, and the mean absolute error."""

    group: str
    counts: PixelCounts
    error: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Measured":
        return cls(record["category"], PixelCounts.unpacked(record["counts"]), record["error"])


def equal_error_by_group(images: Iterable[Measured]) -> dict[str, float]:
    """Pixel precision at equal error rate over all images of each category (*CNN Fixations*, Table II)."""
    groups: dict[str, list[PixelCounts]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image.counts)
    found = {group: PixelCounts.total(counts).equal_error_precision() for group, counts in groups.items()}
    return {group: precision for group, precision in sorted(found.items()) if precision is not None}


def equal_error_of_all(images: Iterable[Measured]) -> float | None:
    """The same over the pixels of all images, whatever their category."""
    return PixelCounts.total(image.counts for image in images).equal_error_precision()


def choose_level(images: Sequence[Measured]) -> int:
    """The level that gives these images the largest mean F; of equals the lowest."""
    means = [np.mean([image.counts.scores(level).f for image in images]) for level in range(1, LEVELS)]
    return 1 + int(np.argmax(means))


def mean_scores(images: Mapping[str, Measured], level: int) -> dict[str, Summary]:
    """Each score as the mean over the images, with its standard error, and the mean absolute error."""
    means = {name: Mean() for name in (*SCORES, "error")}
    for name, image in images.items():
        values = asdict(image.counts.scores(level)) | {"error": image.error}
        for metric, value in values.items():
            means[metric].update(value, name)
    return {metric: mean.summary() for metric, mean in means.items()}


def pooled_scores(images: Sequence[Measured], level: int) -> dict[str, float]:
    """Each score, and the mean absolute error, over all pixels together."""
    total = PixelCounts.total(image.counts for image in images)
    error = sum(image.error * image.counts.pixels for image in images) / total.pixels
    return asdict(total.scores(level)) | {"error": error}


def parts(images: Mapping[str, Measured]) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """The images on which the threshold is chosen, and those on which it is reported."""
    tune = {name: image for name, image in images.items() if part_of(name) == "tune"}
    return tune, {name: image for name, image in images.items() if name not in tune}


def equal_error_table(images: Mapping[str, Mapping[str, Measured]], objects: str) -> Table:
    """Precision at equal error rate by method, and of each category where they are few.

    `objects`: what is known of them, for the notes.
    """
    by_group = {method: equal_error_by_group(of_method.values()) for method, of_method in images.items()}
    groups = list(next(iter(by_group.values())))
    shown = groups if 1 < len(groups) <= MANY_CATEGORIES else []
    rows: list[tuple[str, list[Cell]]] = []
    for method, of_method in images.items():
        alone = {name: image.counts.equal_error_precision() for name, image in of_method.items()}
        rows.append(
            (
                method,
                [
                    mean_cell(by_group[method]),
                    equal_error_of_all(of_method.values()),
                    mean_cell(alone),
                    *(by_group[method][group] for group in shown),
                ],
            )
        )
    n = len(next(iter(images.values())))
    notes = [
        f"{n} images, {len(groups)} categories, {objects} of objects; one threshold for the pixels of a "
        "category's images, of all images, or of each image alone; nothing is tuned",
        "± standard error over categories, or over images",
    ]
    columns = ("mean over categories", "all images pooled", "mean over images", *shown)
    return Table("Pixel precision at equal error rate", columns, rows, notes, "method")


def threshold_tables(
    reported: Mapping[str, Mapping[str, Measured]], levels: Mapping[str, int], part: str
) -> list[Table]:
    """The scores of each method at its level: means over the images, and over all pixels."""
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
        f"{n} images of the {part} part; threshold: the share of a map's maximum with the largest mean F "
        "on the tune part; the error is that of the map itself, scaled to a maximum of 1"
    )
    columns = ("threshold", *TITLES)
    return [
        Table("Mean over images", columns, single, [note, "± standard error over images"], "method"),
        Table("All pixels pooled", columns, pooled, [note], "method"),
    ]
