"""Measure how well maps cover the part that decides a flower's class.

This follows section 4.3 of *Visual Explanation by Interpretation* (Oramas, Wang, Tuytelaars, ICLR 2019). A
map is thresholded at fractions of its maximum, and compared with the part's pixels by intersection over union
(IoU). The figure is the area under the curve of the IoU over the thresholds. There are two differences from
the paper: the drawings are ours, and the question is the logit of the picture's class, not the relevant
features of the predicted class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from gazeback.eval.flowers.flowers import SEEDS, flower
from gazeback.eval.flowers.maps import Maps, build_maps, settings_of
from gazeback.eval.harness.tuning import best
from gazeback.eval.metrics.statistics import Mean, Summary
from gazeback.models.classifiers import Classifier

THRESHOLDS = np.linspace(0, 1, 21)
"""Thresholds, as fractions of a map's maximum."""

BATCH = 12

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "single-6c": {"filter": 0.15, "guided-backprop": 0.22, "guided-backprop-resampled": 0.23},
    "double-12c": {"filter": 0.19, "guided-backprop": 0.20, "guided-backprop-resampled": 0.21},
}
"""The areas in the paper, on its own drawings: upsampled activations, deconvnet with guided backpropagation,
and the same with resampling."""

Picture = tuple[str, int]
"""The part of ``SEEDS`` and the index."""


def iou_curve(heat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Compute the IoU of ``heat >= threshold * heat.max()`` and the mask, float64 ``[21]``, for each of
    ``THRESHOLDS``.

    Args:
        heat: float ``[H, W]``, finite and non-negative; a map of zeros has IoU 0.
        mask: bool ``[H, W]``, not empty.
    """
    peak = heat.max()
    if peak <= 0:
        return np.zeros(len(THRESHOLDS))
    cuts = (THRESHOLDS * peak).astype(heat.dtype)
    # Count pixels by the number of thresholds that they reach, inside and outside the mask.
    reached, count = np.searchsorted(cuts, heat, side="right"), len(cuts) + 1
    hits, misses = (
        np.bincount(reached[where], minlength=count)[::-1].cumsum()[::-1][1:] for where in (mask, ~mask)
    )
    return hits / (mask.sum() + misses)


def area_under(curve: Sequence[float] | np.ndarray) -> float:
    """Compute the area under a curve over ``THRESHOLDS``, by trapezoids: 0 to 1."""
    values = np.asarray(curve)
    return float(np.sum((values[1:] + values[:-1]) / 2 * np.diff(THRESHOLDS)))


@dataclass(frozen=True)
class Measured:
    """The figures of one method on one picture.

    Attributes:
        picture: its part of ``SEEDS`` and index; ``label``, ``predicted``: its class and the network's.
        covered: the fraction of the picture that the mask covers.
        curves: the IoU ``[setting][threshold]``, settings as in ``settings_of(method)``.
    """

    picture: Picture
    label: int
    predicted: int
    covered: float
    curves: Sequence[Sequence[float]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Measured:
        """Read what ``as_json`` returned."""
        part, index = record["picture"]
        return cls(**{**record, "picture": (part, index)})


def measure(
    kind: str, classifier: Classifier, methods: Sequence[str], pictures: Iterable[Picture]
) -> Iterator[dict[str, Measured]]:
    """Yield the figures of every method with every setting, by method, picture by picture.

    Raises:
        UserError: there is no such kind of flowers, or no such method.
    """
    maps = {name: build_maps(name, classifier, kind) for name in methods}
    waiting = list(pictures)
    for start in range(0, len(waiting), BATCH):
        yield from measure_batch(kind, classifier, maps, waiting[start : start + BATCH])


def measure_batch(
    kind: str, classifier: Classifier, maps: Mapping[str, Maps], pictures: Sequence[Picture]
) -> Iterator[dict[str, Measured]]:
    """Measure a batch of pictures with methods that are already built."""
    drawn = [flower(kind, SEEDS[part], index) for part, index in pictures]
    pixels = np.stack([each.image for each in drawn]).astype(np.float32)
    labels = np.array([each.label for each in drawn], np.int32)
    predicted = classifier.probabilities(pixels).argmax(axis=1)
    heats = {name: explain(pixels, labels) for name, explain in maps.items()}
    for i, (picture, each) in enumerate(zip(pictures, drawn, strict=True)):
        about = (picture, each.label, int(predicted[i]), float(each.mask.mean()))
        yield {
            name: Measured(*about, [iou_curve(of[i], each.mask).round(4).tolist() for of in settings])
            for name, settings in heats.items()
        }


@dataclass(frozen=True)
class Row:
    """A method on the reported pictures: areas under the IoU curve, means over the classes.

    Attributes:
        method: its name.
        as_published, chosen: the area, with the settings as published and with those that were best on other
            pictures; ``setting``: the chosen one.
        curve: the mean IoU at each of ``THRESHOLDS``, with the chosen setting.
    """

    method: str
    as_published: Summary
    chosen: Summary
    setting: Mapping[str, Any]
    curve: Sequence[float]


def summarise(
    tuned: Mapping[str, Sequence[Measured]], reported: Mapping[str, Sequence[Measured]]
) -> list[Row]:
    """Choose settings on some pictures, and compute the figures of others, by method; neither part may be
    empty."""
    rows = []
    for method, measured in reported.items():
        place = choose(method, tuned[method])
        curves = np.array([one.curves[place] for one in measured])
        rows.append(
            Row(
                method,
                as_published=class_mean(measured, 0),
                chosen=class_mean(measured, place),
                setting=settings_of(method)[place],
                curve=curves.mean(axis=0).round(4).tolist(),
            )
        )
    return rows


def choose(method: str, tuned: Sequence[Measured]) -> int:
    """Find the index of the setting with the largest mean area; if several are equal, the first."""
    areas = [class_mean(tuned, number).mean or 0.0 for number in range(len(settings_of(method)))]
    return best(areas)


def class_mean(measured: Sequence[Measured], setting: int) -> Summary:
    """Compute the mean over the classes of each class's mean area, and its standard error; n pictures."""
    means: dict[int, Mean] = {}
    for one in measured:
        means.setdefault(one.label, Mean()).update(area_under(one.curves[setting]), one.picture)
    classes = [mean.summary() for mean in means.values()]
    average = sum(one.mean or 0.0 for one in classes) / len(classes)
    errors = [one.standard_error for one in classes if one.standard_error is not None]
    error = sqrt(sum(e**2 for e in errors)) / len(classes) if len(errors) == len(classes) else None
    return Summary(len(measured), len(measured), average, error)
