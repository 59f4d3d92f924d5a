"""Read files in COCO's captions format: the photos of a split, and their captions.

All COCO files are an object with a list of images. This part is read here for all of them.
"""

from dataclasses import dataclass
from pathlib import Path

from msgspec import field

from gazeback.models.errors import DataError
from gazeback.models.reading import MOST_PIXELS, FileName, Known, Side, read_json

WANTED = {
    "captions": '"images" (id, file_name)',
    "instances": '"images" (id, file_name, height, width), "categories" (id, name) and "annotations" '
    "(image_id, category_id, bbox, segmentation)",
}
"""The content of a file of each kind, for error messages."""


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One entry of "images"; the size, (height, width) in pixels, is None if the file does not give it."""

    id: int
    file_name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class CaptionsFile:
    """A captions file: its images and its captions (image id, text), in the file's order."""

    images: tuple[CocoImage, ...]
    captions: tuple[tuple[int, str], ...]

    @property
    def dangling(self) -> int:
        """The number of annotations of an image that the file does not list."""
        ids = {image.id for image in self.images}
        return sum(image_id not in ids for image_id, _ in self.captions)


class ImageEntry(Known):
    """An entry of "images" as in the file."""

    id: int
    file_name: FileName
    height: Side | None = None
    width: Side | None = None


class _Annotation(Known):
    image_id: int
    caption: str | None = None


class _Captions(Known):
    images: list[ImageEntry]
    annotations: list[_Annotation] = field(default_factory=list)


def read_captions_file(path: Path) -> CaptionsFile:
    """Read the images and the captions; the annotations may be missing. Raises DataError."""
    content = read_json(path, _Captions, coco_format("captions"))
    captions = tuple((entry.image_id, entry.caption or "") for entry in content.annotations)
    if content.annotations and all(entry.caption is None for entry in content.annotations):
        raise DataError(f"{path}: its annotations have no captions; expected COCO's captions file")
    if not content.images:
        raise DataError(f"{path}: lists no images")
    return CaptionsFile(images_of(path, content.images), captions)


def images_of(path: Path, entries: list[ImageEntry]) -> tuple[CocoImage, ...]:
    """The images of a COCO file. Raises DataError for a size that no picture has."""
    images = tuple(CocoImage(entry.id, entry.file_name, _size(entry)) for entry in entries)
    for image in images:
        if image.size is not None and image.size[0] * image.size[1] > MOST_PIXELS:
            height, width = image.size
            raise DataError(
                f"{path}: {image.file_name} has {height} x {width} pixels; at most {MOST_PIXELS:,} are read"
            )
    return images


def coco_format(kind: str) -> str:
    """What a file of COCO "captions" or "instances" holds, for error messages."""
    return f"COCO's {kind} format, an object with {WANTED[kind]}"


def _size(entry: ImageEntry) -> tuple[int, int] | None:
    return (entry.height, entry.width) if entry.height and entry.width else None
