"""Images with objects, and a classifier that is asked about them: what several tasks share."""

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
from gazeback.models.errors import DataError, ModelError
from gazeback.models.photos import Photo, load_photo

OTHER_MEANING = {"kite": 1000}
"""Categories that a classifier of so many classes has under the same name, meaning another thing: ImageNet's
kite is a bird."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photo, and what the classifier reads of it."""

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
        """A map over the input as a map over the photo, float32 [height, width]; beyond the input 0."""
        return np.maximum(on_photo(heat, self.input, max(self.photo.height, self.photo.width)), 0)


class ClassifierSubject:
    """A loaded classifier, and the maps of every method for its classes.

    Attributes:
        data: the images that it is asked about, where they are those of an `ObjectData`.
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
        """The same with a copy of the model, whose weights may be changed."""
        return ClassifierSubject(replace(self.classifier, model=copied(self.classifier.model)), self.data)

    def prepare(self, path: Path) -> Prepared:
        """Raises PhotoError."""
        photo = load_photo(path)
        return Prepared(photo, self.classifier.preprocess(photo))

    def maps(
        self, method: str, pixels: Sequence[np.ndarray], classes: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """float32 [n, height, width] over the inputs, for one class of each. Raises UserError."""
        return class_maps(method, self.classifier.model, np.stack(pixels), np.asarray(classes))

    def maps_on_photo(self, methods: Sequence[str], prepared: Prepared, target: int) -> dict[str, np.ndarray]:
        """The maps of one class by method, float32 [height, width] over the photo. Raises UserError."""
        heats = {method: self.maps(method, [prepared.pixels], [target])[0] for method in methods}
        return {method: prepared.on_photo(heat) for method, heat in heats.items()}

    def probabilities(self, prepared: Sequence[Prepared]) -> np.ndarray:
        """float32 [n, classes]."""
        return self.classifier.probabilities(np.stack([one.pixels for one in prepared]))


@dataclass(frozen=True)
class ClassifierTask(Task[ClassifierSubject]):
    """A question to a classifier.

    Attributes:
        data, part, limit: the folder, and which of its images.
        model, weights: the classifier, as the command line names it.
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

    def details(self, records: Records) -> Mapping[str, Any]:
        return {"model": self.model, "part": self.part, "limit": self.limit}


def load_named(model: str, weights: str | None) -> Classifier:
    """A classifier as the command line names it. Raises UserError."""
    return load_classifier(model) if weights is None else load_classifier(model, weights=weights)


@dataclass(frozen=True)
class ObjectTask(ClassifierTask):
    """A question about images with objects, in any of the formats that `ObjectData` reads."""

    split: str | None = None

    need: ClassVar[Need | None] = "objects"
    """What the task needs of an image."""
    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part: it is measured even if only the other is reported."""
    asks_true: ClassVar[bool] = False
    """Whether it asks for the classes that the images show: the classifier must know some of them."""

    @cached_property
    def read(self) -> ObjectData:
        part = measured_part(self.part, self.tunes)
        return ObjectData(self.data, self.split, part, self.limit, self.need)

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else the records depend on. JSON."""
        return {}

    def names(self) -> Sequence[str]:
        return self.read.names

    def cache_key(self) -> Mapping[str, Any]:
        return {"data": self.read.digest, "model": self.model, "weights": self.weights, **self.settings}

    def subject(self) -> ClassifierSubject:
        subject = ClassifierSubject(load_named(self.model, self.weights), self.read)
        if self.asks_true:
            _ = subject.true_classes  # tells what is wrong before anything is measured
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
    """Which classes of a classifier the images of a folder show.

    A labelled image shows the class of its label. Another shows those of its categories that are a class of
    the classifier, by name.
    """

    def __init__(self, data: ObjectData, classifier: Classifier) -> None:
        """Raises DataError: the classifier has none of the classes."""
        labelled = any(image.label is not None for image in data.images)
        self._labels = label_classes(data, classifier) if labelled else []
        self._categories = {} if labelled else category_classes(data.class_names, classifier)

    def of(self, image: ObjectImage) -> dict[str, int]:
        """The class of each category of the image."""
        if image.label is not None:  # it says more than the category: two classes may share a name
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
        """The category with a box whose objects cover most, and its class; None where there is none."""
        found = self.boxed(image)
        if len(found) > 1:
            return max(found.items(), key=lambda item: int(image.mask(item[0]).sum()))
        return next(iter(found.items()), None)


def label_classes(data: ObjectData, classifier: Classifier) -> list[int]:
    """For each label of the data the number of its class. Raises DataError where the classes are others.

    Labels of an annotation file count the classifier's classes in order; folders go by their names.
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
