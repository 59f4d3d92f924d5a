"""Words of COCO's captions that name a category, with the masks of the photo's instances of it.

Word -> category as in `gazeback.grounding.coco.categories`; the words that name one thing ("hot dog") are a
phrase. Its mask is the union of all instances of the category in the photo, crowds with them; its type is the
category's supercategory.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from gazeback.eval.data.files import read_json, split_file
from gazeback.eval.data.image import Caption, CaptionedImage, Phrase, PhraseImage, Sentence
from gazeback.eval.metrics.maps import Box
from gazeback.grounding.coco.categories import CategoryNames
from gazeback.models.errors import DataError
from gazeback.models.vocabulary import tokenize


def read_captions(file: Path, photos: Path, skipped: Counter[str]) -> list[CaptionedImage]:
    """The images of a captions file, each once, with their captions. Raises DataError."""
    content = read_json(file)
    try:
        entries = _each_once(content["images"], skipped)
        captions: dict[Any, list[Caption]] = {number: [] for number in entries}
        for annotation in content["annotations"]:
            words = tuple(tokenize(annotation["caption"]))
            if annotation["image_id"] not in captions:
                skipped["caption of an unknown image"] += 1
            elif not words:
                skipped["empty caption"] += 1
            else:
                captions[annotation["image_id"]].append(words)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: not a COCO captions file ({type(error).__name__}: {error})") from None
    skipped["image without a caption"] += sum(not said for said in captions.values())
    return [
        CaptionedImage(number, name, photos / name, tuple(captions[number]))
        for number, name in entries.items()
        if captions[number]
    ]


def _each_once(images: Any, skipped: Counter[str]) -> dict[Any, str]:
    """File names by id; what comes again under its id or name is counted."""
    found: dict[Any, str] = {}
    names: set[str] = set()
    for image in images:
        if image["id"] in found or image["file_name"] in names:
            skipped["duplicated image"] += 1
            continue
        found[image["id"]] = image["file_name"]
        names.add(image["file_name"])
    return found


@dataclass(frozen=True)
class Instance:
    """One object: its category, box `[x, y, w, h]` and COCO segmentation, in pixels of (height, width)."""

    category: str
    box: Box
    segmentation: Any
    size: tuple[int, int]

    def mask(self) -> np.ndarray:
        """bool [height, width]. Raises DataError."""
        height, width = self.size
        try:
            packed = self.segmentation
            if isinstance(packed, list):
                packed = rle.merge(rle.frPyObjects(packed, height, width))
            elif isinstance(packed["counts"], list):
                packed = rle.frPyObjects(packed, height, width)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under NumPy 2
                return np.asarray(rle.decode(packed)).astype(bool)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"a segmentation of {self.category} is not in COCO's format: {error!r}") from None


@dataclass(frozen=True)
class Outlined:
    """The union of instances, on the photo squeezed to a size."""

    instances: tuple[Instance, ...]

    def __call__(self, size: int) -> np.ndarray:
        union = np.zeros((size, size), bool)
        for instance in self.instances:
            image = Image.fromarray(instance.mask())
            union |= np.asarray(image.resize((size, size), Image.Resampling.NEAREST))
        return union


@dataclass(frozen=True)
class Instances:
    """The categories, what kind of thing each is, and the objects by the image's id."""

    names: CategoryNames
    supercategory: Mapping[str, str]
    by_image: Mapping[Any, Sequence[Instance]]


def read_coco(folder: Path, split: str, skipped: Counter[str]) -> list[PhraseImage]:
    """The images that have captions, in the file's order. Raises DataError."""
    captioned = read_captions(split_file(folder, split, "captions"), folder / split, skipped)
    instances = read_instances(split_file(folder, split, "instances"), skipped)
    return [_image(image, instances, skipped) for image in captioned]


def read_instances(file: Path, skipped: Counter[str]) -> Instances:
    """Raises DataError."""
    content = read_json(file)
    by_image: dict[Any, list[Instance]] = defaultdict(list)
    try:
        sizes = {image["id"]: (int(image["height"]), int(image["width"])) for image in content["images"]}
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        groups = {str(entry["name"]): str(entry.get("supercategory", "")) for entry in content["categories"]}
        for entry in content["annotations"]:
            if entry["image_id"] not in sizes or entry["category_id"] not in categories:
                skipped["instance of an unknown image or category"] += 1
            elif not entry["segmentation"] or min(entry["bbox"][2:]) <= 0:
                skipped["empty instance"] += 1
            else:
                category, box = categories[entry["category_id"]], tuple(map(float, entry["bbox"]))
                size = sizes[entry["image_id"]]
                by_image[entry["image_id"]].append(Instance(category, box, entry["segmentation"], size))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{file}: not a COCO instances file ({type(error).__name__}: {error})") from None
    return Instances(CategoryNames(categories.values()), groups, by_image)


def _image(image: CaptionedImage, instances: Instances, skipped: Counter[str]) -> PhraseImage:
    there = instances.by_image.get(image.id, ())
    sentences = tuple(
        Sentence(words, tuple(_phrases(words, there, instances, skipped))) for words in image.captions
    )
    return PhraseImage(image.file_name, image.path, sentences)


def _phrases(
    words: Sequence[str], there: Sequence[Instance], instances: Instances, skipped: Counter[str]
) -> list[Phrase]:
    named = instances.names.named_by(words)
    found = []
    for categories, group in groupby(sorted(named), key=lambda position: named[position]):
        for first, last in _runs(list(group)):
            shown = tuple(instance for instance in there if instance.category in categories)
            if not shown:
                skipped["word for a category of which the photo has no instance"] += 1
                continue
            types = tuple(sorted({instances.supercategory[instance.category] for instance in shown}))
            text = " ".join(words[first:last])
            boxes = tuple(instance.box for instance in shown)
            found.append(Phrase(text, first, last, types, boxes, Outlined(shown)))
    return found


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours together: [3, 4, 8] are the words 3 to 5 and 8 to 9, the ends excluded."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs
