"""Images with objects, and a classifier that is asked about them: what several tasks share."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.class_maps import ClassMaps, build_class_maps
from gazeback.eval.class_task import ClassifierTask, load_named
from gazeback.eval.harness.task import Records
from gazeback.eval.object_data import Kind, ObjectData
from gazeback.eval.selection import Part
from gazeback.grounding.photo_maps import on_photo
from gazeback.models.classifiers import Classifier, ModelInput
from gazeback.models.classifiers import class_names as class_names_of
from gazeback.models.errors import DataError, ModelError
from gazeback.models.photos import Photo, load_photo

OTHER_MEANING = {"kite": 1000}
"""Categories that a classifier of so many classes has under the same name, meaning another thing: ImageNet's
kite is a bird."""


@dataclass(frozen=True)
class ObjectTask(ClassifierTask):
    """Of images with objects, in any of the formats that `ObjectData` reads."""

    split: str | None = None

    batch: ClassVar[int] = 8
    kinds: ClassVar[Collection[Kind]] = ("COCO", "labelled")
    """The formats that the task can read."""
    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part: it is measured even if only the other is reported."""

    @cached_property
    def read(self) -> ObjectData:
        part: Part = "all" if self.tunes and self.part != "tune" else self.part
        return ObjectData(self.data, self.split, part, self.limit, self.kinds)

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else the records depend on. JSON."""
        return {}

    def names(self) -> Sequence[str]:
        return self.read.names

    def about(self) -> Mapping[str, Any]:
        return {"data": self.read.digest, "model": self.model, "weights": self.weights, **self.settings}

    def ask(self) -> "AskedClassifier":
        """The classifier. Raises ModelError."""
        return AskedClassifier(load_named(self.model, self.weights))

    def details(self, records: Records) -> Mapping[str, Any]:
        return {**super().details(records), "format": self.read.kind, "split": self.read.split}


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo, and what the classifier reads of it."""

    photo: Photo
    prepared: ModelInput

    @property
    def pixels(self) -> np.ndarray:
        return self.prepared.pixels

    def on_photo(self, heat: np.ndarray) -> np.ndarray:
        """A map over the input as a map over the photo, float32 [height, width]; beyond the input 0."""
        return np.maximum(on_photo(heat, self.prepared, max(self.photo.height, self.photo.width)), 0)


@dataclass(frozen=True, eq=False)
class AskedClassifier:
    """A loaded classifier and the maps that methods make for it."""

    classifier: Classifier
    _built: dict[str, ClassMaps] = field(default_factory=dict)

    def see(self, path: Path) -> Seen:
        """Raises PhotoError."""
        photo = load_photo(path)
        return Seen(photo, self.classifier.preprocess(photo))

    def maps(
        self, method: str, pixels: Sequence[np.ndarray], classes: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """float32 [n, height, width] over the inputs, for one class of each. Raises UserError."""
        if method not in self._built:
            self._built[method] = build_class_maps(method, self.classifier)
        return self._built[method](np.stack(pixels), np.asarray(classes))

    def probabilities(self, seen: Sequence[Seen]) -> np.ndarray:
        """float32 [n, classes]."""
        return self.classifier.probabilities(np.stack([one.pixels for one in seen]))


def label_classes(data: ObjectData, classifier: Classifier) -> list[int]:
    """For each label of the data the number of its class. Raises DataError where the classes are others.

    Labels of an annotation file count the classifier's classes in order; folders go by their names.
    """
    known = classifier.class_names
    if data.kind == "labelled":
        if len(data.class_names) != len(known):
            raise DataError(
                f"class_names.json names {len(data.class_names)} classes, {classifier.name} has {len(known)}"
                ": name a classifier of the same classes"
            )
        return list(range(len(known)))
    try:
        return [class_names_of.find(name, known) for name in data.class_names]
    except ModelError as error:
        raise DataError(
            f"{data.folder}: its folders are not the classes of {classifier.name}: {error}"
        ) from None


def category_classes(categories: Sequence[str], classifier: Classifier) -> Mapping[str, int]:
    """The categories that are a class of the classifier, by its name or one of its synonyms. Raises DataError
    where none is."""
    names = classifier.class_names
    spoken: dict[str, int] = {}
    for number, name in enumerate(names):
        for synonym in name.split(","):
            spoken.setdefault(_plain(synonym), number)
    found: dict[str, Any] = {
        category: spoken[_plain(category)]
        for category in categories
        if _plain(category) in spoken and OTHER_MEANING.get(category) != len(names)
    }
    if not found:
        raise DataError(f"none of the {len(categories)} categories is a class of {classifier.name}")
    return found


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ")
