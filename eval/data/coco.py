"""Read COCO's folders: photos with captions, objects with outlines, and the words that name the objects.

The categories of words are those of `gazeback.grounding.coco.categories`. The words that name one thing ("hot
dog") are a phrase. Its mask is the union of all objects of the category in the photo, including crowds. Its
type is the category's supercategory.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from gazeback.eval.data.files import split_file
from gazeback.eval.data.image import (
    Caption,
    CaptionedImage,
    Object,
    ObjectImage,
    Phrase,
    PhraseImage,
    Sentence,
    checked_box,
    resized_mask,
    unique,
)
from gazeback.grounding.coco.annotations import Instance, Instances, is_outline, read_instances
from gazeback.models.captions_file import CocoImage, read_captions_file
from gazeback.models.errors import DataError
from gazeback.models.vocabulary import tokenize


def read_captions(file: Path, photos: Path, skipped: Counter[str]) -> list[CaptionedImage]:
    """Read the images of a captions file, each once, with their captions. Raises DataError."""
    content = read_captions_file(file)
    entries = _each_once(content.images, skipped)
    captions: dict[int, list[Caption]] = {number: [] for number in entries}
    for number, text in content.captions:
        words = tuple(tokenize(text))
        if number not in captions:
            skipped["caption of an unknown image"] += 1
        elif not words:
            skipped["empty caption"] += 1
        else:
            captions[number].append(words)
    skipped["image without a caption"] += sum(not said for said in captions.values())
    return [
        CaptionedImage(number, name, photos / name, tuple(captions[number]))
        for number, name in entries.items()
        if captions[number]
    ]


def _each_once(images: Iterable[CocoImage], skipped: Counter[str]) -> dict[int, str]:
    """File names by id; duplicates of an id or name are counted."""
    found: dict[int, str] = {}
    names: set[str] = set()
    for image in images:
        if image.id in found or image.file_name in names:
            skipped["duplicated image"] += 1
            continue
        found[image.id] = image.file_name
        names.add(image.file_name)
    return found


@dataclass(frozen=True)
class CocoObjects:
    """The images of an instances file by id, with their objects, and the categories."""

    images: Mapping[int, ObjectImage]
    instances: Instances


def read_objects(file: Path, photos: Path, skipped: Counter[str]) -> CocoObjects:
    """Read the images of an instances file and their objects; images without objects are included. Raises
    DataError."""
    instances = read_instances(file)
    skipped["annotation of no known image or category"] += instances.dangling
    entries = {
        image.id: image
        for image in unique(instances.images, lambda image: image.id, "duplicated image", skipped)
    }
    objects: dict[int, list[Object]] = {number: [] for number in entries}
    sizes = {number: _checked_size(image, file) for number, image in entries.items()}
    for instance in unique(instances.found, _identity, "duplicated annotation", skipped):
        found = _object(instance, sizes[instance.image_id], skipped)
        objects[instance.image_id] += [found] if found is not None else []
    images = {
        number: ObjectImage(image.file_name, photos / image.file_name, sizes[number], tuple(objects[number]))
        for number, image in entries.items()
    }
    return CocoObjects(images, instances)


def _identity(instance: Instance) -> object:
    """The key by which annotations of one object are equal; an annotation without an id equals no other."""
    return instance if instance.id is None else instance.id


def _checked_size(image: CocoImage, file: Path) -> tuple[int, int]:
    if image.size is None:
        raise DataError(f"{file}: {image.file_name} needs a height and a width in pixels")
    return image.size


def _object(instance: Instance, size: tuple[int, int], skipped: Counter[str]) -> Object | None:
    box = checked_box(instance.box, size, skipped)
    outline = instance.segmentation or None
    if box is None:
        return None
    if outline is not None and not is_outline(outline, size):
        skipped["outline that cannot be read"] += 1
        return None
    return Object(instance.category, box, outline, instance.crowd)


@dataclass(frozen=True)
class Outlined:
    """The union of objects, annotated in pixels of (height, width), on the photo resized to a square."""

    objects: tuple[Object, ...]
    size: tuple[int, int]

    def __call__(self, size: int) -> np.ndarray:
        union = np.zeros((size, size), bool)
        for one in self.objects:
            union |= resized_mask(one.mask(self.size), (size, size))
        return union


def read_phrases(folder: Path, split: str, skipped: Counter[str]) -> list[PhraseImage]:
    """Read the images that have captions, in the file's order. Raises DataError."""
    captioned = read_captions(split_file(folder, split, "captions"), folder / split, skipped)
    objects = read_objects(split_file(folder, split, "instances"), folder / split, skipped)
    return [_image(image, objects, skipped) for image in captioned]


def _image(image: CaptionedImage, objects: CocoObjects, skipped: Counter[str]) -> PhraseImage:
    shown = objects.images.get(image.id)
    sentences = tuple(
        Sentence(words, tuple(_phrases(words, shown, objects.instances, skipped))) for words in image.captions
    )
    return PhraseImage(image.file_name, image.path, sentences)


def _phrases(
    words: Sequence[str], image: ObjectImage | None, instances: Instances, skipped: Counter[str]
) -> list[Phrase]:
    named = instances.names.named_by(words)
    found = []
    for categories, group in groupby(sorted(named), key=lambda position: named[position]):
        for first, last in _runs(list(group)):
            shown = tuple(one for one in (image.objects if image else ()) if one.category in categories)
            if image is None or not shown:
                skipped["word for a category of which the photo has no instance"] += 1
                continue
            types = tuple(sorted({instances.supercategory[one.category] for one in shown}))
            boxes = tuple(one.box for one in shown)
            outlined = Outlined(shown, image.annotated)
            found.append(Phrase(" ".join(words[first:last]), first, last, types, boxes, outlined))
    return found


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Group neighbours: [3, 4, 8] are the words 3 to 5 and 8 to 9, the ends excluded."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs
