"""Compute a method's maps of a batch of photos, and its boxes by every rule.

The maps are those of the true class and of a wrong class. The boxes are of the true class. A rule makes one
box for each of its settings, because a setting is chosen on the tune part later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from gazeback.eval.metrics.boxes import blurred, centre_box, region_box, tight_box
from gazeback.eval.metrics.maps import Box
from gazeback.eval.subjects.methods import CENTRE, Found, explain_classes

THRESHOLDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)

SETTINGS: dict[str, tuple[dict[str, float], ...]] = {
    "region": tuple({"blur": blur, "threshold": threshold} for blur in (0, 0.04) for threshold in THRESHOLDS),
    "tight": ({},),
    "centre": tuple({"share": round(0.4 + 0.05 * step, 2)} for step in range(13)),
}
"""The settings of each rule. blur: a fraction of the diagonal, in addition to the map's own blur; threshold:
a fraction of the maximum; share: a fraction of the image's sides."""

Classes = Sequence[int] | np.ndarray
"""A class for each image."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The maps of the true class and a wrong one, float [height, width], non-negative; boxes of the true
    class by rule, one for each of its settings."""

    heat: np.ndarray
    wrong_heat: np.ndarray
    boxes: Mapping[str, Sequence[Box]]


def answers_of(
    name: str, model: keras.Model, pixels: np.ndarray, true: Classes, wrong: Classes
) -> list[Answer]:
    """Compute a method's answer for each of the images [n, H, W, C], as the model reads them.

    Args:
        true: the class of each image.
        wrong: another class for each image.

    Raises:
        UserError: the method cannot explain the model.
    """
    classes = np.stack([true, wrong], axis=1)
    found = explain_classes(name, model, pixels, classes)
    rules = _rules(name, found)
    return [
        Answer(true, other, {rule: boxes[i] for rule, boxes in rules.items()})
        for i, (true, other) in enumerate(found.maps)
    ]


def _rules(name: str, found: Found) -> dict[str, list[list[Box]]]:
    """Compute, by every rule of the method, each image's boxes of the true class, one for each setting."""
    if name == CENTRE:
        boxes = [centre_box(found.maps.shape[2:], setting["share"]) for setting in SETTINGS["centre"]]
        return {"centre": [boxes] * len(found.maps)}
    rules = {"region": [_regions(heats[0]) for heats in found.maps]}
    if found.points is not None:
        rules["tight"] = [[tight_box(of_image[0])] for of_image in found.points]
    return rules


def _regions(heat: np.ndarray) -> list[Box]:
    maps = {blur: blurred(heat, blur) for blur in {setting["blur"] for setting in SETTINGS["region"]}}
    return [region_box(maps[setting["blur"]], setting["threshold"]) for setting in SETTINGS["region"]]
