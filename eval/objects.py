"""Images with objects: their categories, boxes and outlines, and the masks that these make.

Boxes are `[x, y, w, h]`, and all places are in pixels of the image as it was annotated, which may be another
size than the one it is stored in.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.metrics import Box, boxes_mask
from gazeback.models.errors import DataError
from gazeback.models.photos import load_photo


@dataclass(frozen=True, eq=False)
class Object:
    """`outline`: polygons or run lengths as COCO has them; None where the box is all that is known.

    A crowd is many objects that nobody told apart.
    """

    category: str
    box: Box
    outline: Any = None
    crowd: bool = False

    def mask(self, height: int, width: int) -> np.ndarray:
        """bool [height, width]: inside its outline, or its box."""
        if self.outline is None:
            return boxes_mask([self.box], height, width)
        return outline_mask(self.outline, height, width)


@dataclass(frozen=True, eq=False)
class ObjectImage:
    """One image of a data folder.

    name: unique in the folder. size: (height, width) as annotated; None where the mask's own counts. label:
    what the whole image is said to show, a number in the folder's class names. mask_path: a picture of what
    belongs to objects, of the one category `group`.
    """

    name: str
    path: Path
    size: tuple[int, int] | None = None
    objects: tuple[Object, ...] = ()
    label: int | None = None
    mask_path: Path | None = None
    group: str = ""

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(sorted({one.category for one in self.objects}))

    @property
    def annotated(self) -> tuple[int, int]:
        """(height, width) in pixels; raises DataError where there is none."""
        if self.size is None:
            raise DataError(f"{self.name}: the size that its boxes refer to is not known")
        return self.size

    def of(self, category: str | None = None) -> list[Object]:
        """The objects of a category, or all."""
        return [one for one in self.objects if category is None or one.category == category]

    def mask(self, category: str | None = None) -> np.ndarray:
        """bool [height, width]: the union of the objects. Raises PhotoError or DataError."""
        if self.mask_path is not None:
            return picture_mask(self.mask_path)
        mask = np.zeros(self.annotated, bool)
        for one in self.of(category):
            mask |= one.mask(*mask.shape)
        return mask

    def boxes(self, category: str | None = None) -> np.ndarray:
        """float [n, 4]: those of single objects, no crowds."""
        boxes = [one.box for one in self.of(category) if not one.crowd]
        return np.array(boxes, float).reshape(-1, 4)


def outline_mask(outline: Any, height: int, width: int) -> np.ndarray:
    """A COCO segmentation, polygons or run lengths, as bool [height, width]."""
    from pycocotools import mask

    packed = outline
    if isinstance(outline, list):
        packed = mask.merge(mask.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], list):
        packed = mask.frPyObjects(outline, height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under NumPy 2
        return mask.decode(packed).astype(bool)


def is_outline(outline: Any, size: Sequence[int]) -> bool:
    """Whether `outline_mask` can read it: polygons of three corners or more, or run lengths of that size."""
    if isinstance(outline, dict):
        counts = outline.get("counts")
        if list(outline.get("size", ())) != list(size):
            return False
        return isinstance(counts, str | bytes) or (
            isinstance(counts, list) and sum(counts) == size[0] * size[1]
        )
    if not isinstance(outline, list) or not outline:
        return False
    return all(_is_polygon(polygon) for polygon in outline)


def _is_polygon(polygon: Any) -> bool:
    return (
        isinstance(polygon, list)
        and len(polygon) >= 6
        and len(polygon) % 2 == 0
        and all(isinstance(value, int | float) and np.isfinite(value) for value in polygon)
    )


def picture_mask(path: Path) -> np.ndarray:
    """A picture of a mask as bool [height, width]: what is brighter than half of its brightest pixel.

    So 0 and 255, 0 and 1, and the soft edges of a JPEG are all read. Raises PhotoError.
    """
    bright = load_photo(path).pixels.max(axis=2)
    return bright > bright.max() / 2
