"""Images with objects: categories, boxes, outlines, and masks made from them.

Boxes are `[x, y, w, h]`. Boxes and outlines are in pixels of the annotated size, which may differ from the
size of the stored image.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from gazeback.eval.metrics.maps import Box, boxes_mask
from gazeback.grounding.coco.annotations import LARGEST
from gazeback.models.caption_generator import NO_WORD
from gazeback.models.caption_generator import Words as Vocabulary
from gazeback.models.errors import DataError
from gazeback.models.photos import load_photo

T = TypeVar("T")

Caption = tuple[str, ...]
"""A caption, tokenised as the captioner's own."""


@dataclass(frozen=True)
class CaptionedImage:
    """A photo, its id in the file, and the captions that people wrote, at least one."""

    id: Any
    file_name: str
    path: Path
    captions: tuple[Caption, ...]


@dataclass(frozen=True, eq=False)
class Object:
    """`outline`: polygons or run lengths as in COCO; None if only the box is known. A crowd is several
    objects that were annotated as one.
    """

    category: str
    box: Box
    outline: Any = None
    crowd: bool = False

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """The pixels inside the outline, or the box, bool [height, width]; `size` is the annotated size."""
        if self.outline is None:
            return boxes_mask([self.box], *size)
        return outline_mask(self.outline, *size)


@dataclass(frozen=True, eq=False)
class ObjectImage:
    """One image of a data folder.

    Attributes:
        name: unique in the folder.
        size: the annotated (height, width); None without boxes and outlines.
        label: the class of the whole image, an index of the folder's class names.
        mask_path: a picture of the objects' mask, of the one category `group`.
        original: the (height, width) in which people annotated the image, if it was downsampled later.
    """

    name: str
    path: Path
    size: tuple[int, int] | None = None
    objects: tuple[Object, ...] = ()
    label: int | None = None
    mask_path: Path | None = None
    group: str = ""
    original: tuple[int, int] | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(sorted({one.category for one in self.objects}))

    @property
    def annotated(self) -> tuple[int, int]:
        """The annotated (height, width) in pixels; raises DataError if it is unknown."""
        return self.original or self._size

    @property
    def _size(self) -> tuple[int, int]:
        if self.size is None:
            raise DataError(f"{self.name}: the size that its boxes refer to is not known")
        return self.size

    def of(self, category: str | None = None) -> list[Object]:
        """The objects of a category, or all."""
        return [one for one in self.objects if category is None or one.category == category]

    def mask(self, category: str | None = None) -> np.ndarray:
        """The union of the objects, or the given mask: bool [height, width] of the annotated image. Raises
        PhotoError or DataError.
        """
        if self.mask_path is not None:
            return picture_mask(self.mask_path)
        objects = self.of(category)
        boxes = [one.box for one in objects if one.outline is None]
        mask = boxes_mask(self._on_annotated(boxes).tolist(), *self.annotated)
        for one in objects:
            if one.outline is not None:
                mask |= resized_mask(outline_mask(one.outline, *self._size), self.annotated)
        return mask

    def boxes(self, category: str | None = None) -> np.ndarray:
        """The boxes of single objects, without crowds, float [n, 4] in pixels of the annotated image."""
        return self._on_annotated([one.box for one in self.of(category) if not one.crowd])

    def boxes_on(self, size: Sequence[int], category: str | None = None) -> np.ndarray:
        """`boxes` in pixels of the whole image resized to (height, width)."""
        return self.scaled([one.box for one in self.of(category) if not one.crowd], size)

    def boxes_mask_on(self, size: Sequence[int], category: str | None = None) -> np.ndarray:
        """The pixels inside any of `boxes_on`, bool [height, width]."""
        return boxes_mask(self.boxes_on(size, category).tolist(), *size)

    def scaled(self, boxes: Sequence[Box], size: Sequence[int]) -> np.ndarray:
        """Scale boxes of this image, float [n, 4], to pixels of the whole image resized to (height,
        width)."""
        height, width = size
        sides = np.tile(self._size[::-1], 2)
        return np.array(boxes, float).reshape(-1, 4) / sides * [width, height, width, height]

    def _on_annotated(self, boxes: Sequence[Box]) -> np.ndarray:
        scale = np.tile(np.divide(self.annotated, self._size)[::-1], 2)
        return np.array(boxes, float).reshape(-1, 4) * scale


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask to bool [height, width] by nearest neighbours."""
    if mask.shape == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST), bool)


def outline_mask(outline: Any, height: int, width: int) -> np.ndarray:
    """Draw a COCO segmentation, polygons or run lengths, as bool [height, width]."""
    from pycocotools import mask

    packed = outline
    if isinstance(outline, list):
        packed = mask.merge(mask.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], list):
        packed = mask.frPyObjects(outline, height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under NumPy 2
        return mask.decode(packed).astype(bool)


def checked_box(values: Sequence[float] | None, size: tuple[int, int], skipped: Counter[str]) -> Box | None:
    """Check a box `[x, y, w, h]`; None, and counted: no box, an empty one, one outside the image."""
    if values is None:
        skipped["object without a box"] += 1
        return None
    box = np.asarray(values, float)
    if np.abs(box).max() > LARGEST:
        skipped[f"box of more than {LARGEST:,.0f} pixels"] += 1
        return None
    if not (box[2:] > 0).all():
        skipped["empty box"] += 1
        return None
    if not boxes_overlap(box, size):
        skipped["box outside the image"] += 1
        return None
    return tuple(box.tolist())


def boxes_overlap(box: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a box overlaps an image of (height, width)."""
    height, width = size
    return bool((box[:2] < (width, height)).all() and (box[:2] + box[2:] > 0).all())


def unique(entries: Iterable[T], key: Callable[[T], object], reason: str, skipped: Counter[str]) -> list[T]:
    """Remove entries whose key came before; they are counted under the reason."""
    first: dict[object, T] = {}
    for entry in entries:
        skipped[reason] += key(entry) in first
        first.setdefault(key(entry), entry)
    return list(first.values())


def picture_mask(path: Path) -> np.ndarray:
    """Read a picture of a mask as bool [height, width]: the pixels brighter than half of its brightest pixel.

    This reads 0 and 255, 0 and 1, and the soft edges of a JPEG. Raises PhotoError.
    """
    bright = load_photo(path).pixels.max(axis=2)
    return bright > bright.max() / 2


@dataclass(frozen=True)
class Phrase:
    """A phrase: its tokens `[first, last)` in the sentence, entity types, and boxes in photo pixels.

    `outlined` returns the mask bool [size, size] on the photo resized to a square, if the mask is known
    better than by boxes.
    """

    text: str
    first: int
    last: int
    types: tuple[str, ...]
    boxes: tuple[Box, ...]
    outlined: Callable[[int], np.ndarray] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Sentence:
    tokens: tuple[str, ...]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class PhraseImage:
    file_name: str
    path: Path
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Words:
    """A sentence as the captioner reads it: vocabulary ids, and for each id the index of its token."""

    words: tuple[str, ...]
    ids: tuple[int, ...]
    token_of: tuple[int, ...]

    @classmethod
    def of(cls, sentence: Sentence, vocabulary: Vocabulary, limit: int | None = None) -> "Words":
        """Split a sentence token by token, because punctuation is dropped and a token may become several
        words. A word that a captioner does not know is left out where it has no unknown word, and so are the
        words after `limit`."""
        pairs = [(word, i) for i, token in enumerate(sentence.tokens) for word in vocabulary.tokenize(token)]
        if vocabulary.unknown == NO_WORD:
            pairs = [(word, i) for word, i in pairs if word in vocabulary]
        pairs = pairs[:limit]
        words = [word for word, _ in pairs]
        return cls(tuple(words), tuple(vocabulary.encode(words)), tuple(i for _, i in pairs))

    def last_known(self, phrase: Phrase, unknown: int) -> int | None:
        """The position of the phrase's last word in the vocabulary; None if it has none."""
        inside = [p for p, token in enumerate(self.token_of) if phrase.first <= token < phrase.last]
        return max((p for p in inside if self.ids[p] != unknown), default=None)
