"""One box for each image that may hold any object: how many objects are found, and how often it is right.

Source: *CNN Fixations*, IEEE TIP 2018, section IV-C and Table III: the box is made for the class that a
classifier predicts, which need not know the objects; mean recall and precision over the categories at an
intersection over union of 0.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.eval.localization_boxes import best_iou
from gazeback.eval.localization_methods import SETTINGS
from gazeback.eval.metrics import Box
from gazeback.eval.selection import part_of
from gazeback.models.classifiers import ModelInput
from gazeback.models.errors import DataError

IOU = 0.5


@dataclass(frozen=True)
class Found:
    """One method's boxes by one rule on one image, a box for each setting.

    categories: of the image's objects, in order. hits: for each setting, which of them its box finds. best:
    for each setting, the intersection over union with the object that its box fits best.
    """

    categories: Sequence[str]
    hits: Sequence[Sequence[int]]
    best: Sequence[float]


def found(boxes: Sequence[Box], objects: np.ndarray, categories: Sequence[str]) -> Found:
    """What each box finds of the objects' boxes, float [n, 4]."""
    ious = np.array([[best_iou(box, one[None]) for one in objects] for box in boxes])
    hits = [np.flatnonzero(of_box >= IOU).tolist() for of_box in ious]
    return Found(list(categories), hits, ious.max(axis=1).tolist())


def on_annotated(box: Box, prepared: ModelInput, size: tuple[int, int]) -> Box:
    """A box on the classifier's input as a box on the annotated image of (height, width), cut off at its
    edges."""
    x, y, w, h = box
    # edges, where to_photo counts the centres of pixels
    corners = prepared.to_photo(np.array([[y, x], [y + h, x + w]]) - 0.5) + 0.5
    (top, left), (bottom, right) = corners * np.divide(size, prepared.photo_shape)
    return (float(left), float(top), float(right - left), float(bottom - top))


def choose(images: Sequence[Found]) -> int:
    """The setting whose boxes find an object in most images; of equals the one that fits best."""
    best = np.array([image.best for image in images])
    return max(range(best.shape[1]), key=lambda i: ((best[:, i] >= IOU).mean(), best[:, i].mean(), -i))


def recalls(images: Sequence[Found], setting: int) -> dict[str, float]:
    """For each category the share of its objects that the box of their image finds."""
    objects: dict[str, list[bool]] = {}
    for image in images:
        for place, category in enumerate(image.categories):
            objects.setdefault(category, []).append(place in image.hits[setting])
    return {category: float(np.mean(of)) for category, of in sorted(objects.items())}


def precisions(images: Sequence[Found], setting: int) -> dict[str, float]:
    """For each category the share of the images with it whose box finds one of its objects."""
    right: dict[str, list[bool]] = {}
    for image in images:
        hit = {image.categories[place] for place in image.hits[setting]}
        for category in set(image.categories):
            right.setdefault(category, []).append(category in hit)
    return {category: float(np.mean(of)) for category, of in sorted(right.items())}


@dataclass(frozen=True)
class ProposalRow:
    """A method's boxes by one rule with the setting that was chosen, on the images that are reported."""

    method: str
    rule: str
    place: int
    images: Mapping[str, Found]

    @property
    def setting(self) -> Mapping[str, float]:
        return SETTINGS[self.rule][self.place]

    def recalls(self) -> dict[str, float]:
        return recalls(list(self.images.values()), self.place)

    def precisions(self) -> dict[str, float]:
        return precisions(list(self.images.values()), self.place)

    def hits(self) -> dict[str, float]:
        """1 for each image in which the box finds any object, else 0."""
        return {name: float(bool(image.hits[self.place])) for name, image in self.images.items()}


def rows(records: Mapping[str, Mapping[str, Mapping[str, Any]]], part: str) -> list[ProposalRow]:
    """Every method's rules: settings chosen on the tune part, reported on the rest (or on it, if `part` is
    "tune"). Raises DataError if one of the two parts is missing."""
    made = []
    for method, of_method in records.items():
        for rule in next(iter(of_method.values()))["rules"]:
            images = {
                name: Found(record["categories"], **record["rules"][rule])
                for name, record in of_method.items()
            }
            tune = {name: image for name, image in images.items() if part_of(name) == "tune"}
            rest = {name: image for name, image in images.items() if name not in tune}
            reported = tune if part == "tune" else rest
            if not tune or not reported:
                raise DataError(
                    f"{len(tune)} images of the tune part and {len(reported)} to report: settings are chosen "
                    "on one part and reported on the other; raise the limit"
                )
            made.append(ProposalRow(method, rule, choose(list(tune.values())), reported))
    return made
