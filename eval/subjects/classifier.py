"""The subject and the base classes of tasks that measure a classifier."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.folder import Need, ObjectData
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.data.selection import Part
from gazeback.eval.harness.task import Example, Records, Task
from gazeback.eval.harness.tuning import measured_part
from gazeback.eval.perturbations.randomisation import copied
from gazeback.eval.subjects.methods import chosen_methods, class_maps
from gazeback.grounding.explanation import on_photo
from gazeback.models.classifiers import Classifier, ModelInput, load_classifier
from gazeback.models.classifiers import class_names as class_names_of
from gazeback.models.contents import digest
from gazeback.models.errors import DataError, ModelError
from gazeback.models.photos import Photo, load_photo

OTHER_MEANING = {"kite": 1000}
"""Categories that a classifier with this number of classes has under the same name, but with another meaning:
the kite of ImageNet is a bird."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photo, and the input of the classifier made from it."""

    photo: Photo
    input: ModelInput

    @property
    def pixels(self) -> np.ndarray:
        return self.input.pixels

    @property
    def photo_shape(self) -> tuple[int, int]:
        """(height, width) of the photo."""
        return self.photo.height, self.photo.width

    def on_photo(self, heat: np.ndarray) -> np.ndarray:
        """Map a map over the input to the photo, float32 [height, width]; it is 0 outside the input."""
        return np.maximum(on_photo(heat, self.input, max(self.photo.height, self.photo.width)), 0)


class ClassifierSubject:
    """A loaded classifier, and the maps of every method for its classes.

    Attributes:
        data: the images, if they are those of an `ObjectData`.
    """

    def __init__(self, classifier: Classifier, data: ObjectData | None = None) -> None:
        self.classifier, self.data = classifier, data

    @cached_property
    def true_classes(self) -> "TrueClasses":
        """Raises DataError: the classifier has none of the classes."""
        assert self.data is not None
        return TrueClasses(self.data, self.classifier)

    @cached_property
    def copy(self) -> "ClassifierSubject":
        """The same subject with a copy of the model, whose weights may be changed."""
        return ClassifierSubject(replace(self.classifier, model=copied(self.classifier.model)), self.data)

    def prepare(self, path: Path) -> Prepared:
        """Raises PhotoError."""
        photo = load_photo(path)
        return Prepared(photo, self.classifier.preprocess(photo))

    def maps(
        self, method: str, pixels: Sequence[np.ndarray], classes: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """Compute the maps of one class of each input: float32 [n, height, width]. Raises UserError."""
        return class_maps(method, self.classifier.model, np.stack(pixels), np.asarray(classes))

    def maps_on_photo(self, methods: Sequence[str], prepared: Prepared, target: int) -> dict[str, np.ndarray]:
        """Compute the maps of one class by method, float32 [height, width] over the photo. Raises
        UserError."""
        heats = {method: self.maps(method, [prepared.pixels], [target])[0] for method in methods}
        return {method: prepared.on_photo(heat) for method, heat in heats.items()}

    def probabilities(self, prepared: Sequence[Prepared]) -> np.ndarray:
        """float32 [n, classes]."""
        return self.classifier.probabilities(np.stack([one.pixels for one in prepared]))


@dataclass(frozen=True)
class ClassifierTask(Task[ClassifierSubject]):
    """A task that measures a classifier.

    Attributes:
        data, part, limit: the folder, and the choice of its images.
        model, weights: the classifier, as on the command line.
        chosen: methods between commas.
    """

    data: Path
    model: str
    weights: str | None
    part: Part
    limit: int | None
    chosen: str

    batch: ClassVar[int] = 8

    @cached_property
    def methods(self) -> Sequence[str]:
        return chosen_methods(self.chosen)

    def subject(self) -> ClassifierSubject:
        return ClassifierSubject(load_named(self.model, self.weights))

    def model_digest(self, subject: ClassifierSubject) -> str:
        return digest(subject.classifier)

    def details(self, records: Records) -> Mapping[str, Any]:
        return {"model": self.model, "part": self.part, "limit": self.limit}


def load_named(model: str, weights: str | None) -> Classifier:
    """Load a classifier, named as on the command line. Raises UserError."""
    loaded = load_classifier(model) if weights is None else load_classifier(model, weights=weights)
    if loaded.is_regression:
        raise ModelError(
            f"{model}: a regression, whose one output is a value; measuring needs the classes of a classifier"
        )
    return loaded


@dataclass(frozen=True)
class ObjectTask(ClassifierTask):
    """A task on images with objects, in any format that `ObjectData` reads."""

    split: str | None = None

    need: ClassVar[Need | None] = "objects"
    """The annotations that the task needs."""
    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part; it is then always measured."""
    asks_true: ClassVar[bool] = False
    """Whether the task asks for the classes of the images; the classifier must then have some of them."""

    @cached_property
    def read(self) -> ObjectData:
        part = measured_part(self.part, self.tunes)
        return ObjectData(self.data, self.split, part, self.limit, self.need)

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    @property
    def settings(self) -> Mapping[str, Any]:
        """Further settings that the records depend on. JSON."""
        return {}

    def names(self) -> Sequence[str]:
        return self.read.names

    def cache_key(self) -> Mapping[str, Any]:
        return {"data": self.read.digest, "model": self.model, "weights": self.weights, **self.settings}

    def files(self, name: str) -> Sequence[Path]:
        image = self.read[name]
        return (image.path,) if image.mask_path is None else (image.path, image.mask_path)

    def subject(self) -> ClassifierSubject:
        subject = ClassifierSubject(load_named(self.model, self.weights), self.read)
        if self.asks_true:
            _ = subject.true_classes  # raises an error before anything is measured
        return subject

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The photo with the maps of its predicted class, and the boxes of its objects."""
        image = self.read[name]
        prepared = subject.prepare(image.path)
        predicted = int(subject.probabilities([prepared])[0].argmax())
        maps = subject.maps_on_photo(methods, prepared, predicted)
        boxes = image.boxes_on(prepared.photo_shape).tolist() if image.objects else []
        return Example(prepared.photo.pixels, maps, subject.classifier.class_names[predicted], boxes=boxes)

    def details(self, records: Records) -> Mapping[str, Any]:
        return {**super().details(records), "format": self.read.format, "split": self.read.split}


class TrueClasses:
    """The classes of a classifier that are in the images of a folder.

    For a labelled image it is the class of its label. For another image they are the categories whose name is
    a class of the classifier.
    """

    def __init__(self, data: ObjectData, classifier: Classifier) -> None:
        """Raises DataError: the classifier has none of the classes."""
        labelled = any(image.label is not None for image in data.images)
        self._labels = label_classes(data, classifier) if labelled else []
        self._categories = {} if labelled else category_classes(data.class_names, classifier)

    def of(self, image: ObjectImage) -> dict[str, int]:
        """The class of each category of the image."""
        if (
            image.label is not None
        ):  # a label is more exact than a category, because two classes may have one name
            return dict.fromkeys(image.categories, self._labels[image.label])
        return {name: self._categories[name] for name in image.categories if name in self._categories}

    def labelled(self, image: ObjectImage) -> int:
        """The class of a labelled image. Raises DataError."""
        if image.label is None:
            raise DataError(f"{image.name}: it is not known what it shows")
        return self._labels[image.label]

    def boxed(self, image: ObjectImage) -> dict[str, int]:
        """`of` for the categories that have the box of a single object."""
        return {name: number for name, number in self.of(image).items() if len(image.boxes(name))}

    def main(self, image: ObjectImage) -> tuple[str, int] | None:
        """The category with a box whose objects cover most of the image, and its class; None if there is
        none."""
        found = self.boxed(image)
        if len(found) > 1:
            return max(found.items(), key=lambda item: int(image.mask(item[0]).sum()))
        return next(iter(found.items()), None)


def label_classes(data: ObjectData, classifier: Classifier) -> list[int]:
    """Find the index of the class of each label of the data. Raises DataError if the classes differ.

    Labels of an annotation file are indices of the classifier's classes. Folders are matched by their names.
    """
    known = classifier.class_names
    if data.ordered:
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
    """Find the categories that are a class of the classifier, by its name or a synonym. Raises DataError if
    there is none."""
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
