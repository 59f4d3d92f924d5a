"""Read files in COCO's captions format: the photos of a split, and their captions.

All COCO files are an object with a list of images. This part is read here for all of them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gazeback.models.errors import DataError

WANTED = {
    "captions": '"images" (id, file_name)',
    "instances": '"images" (id, file_name, height, width), "categories" (id, name) and "annotations" '
    "(image_id, category_id, bbox, segmentation)",
}
"""The content of a file of each kind, for error messages."""


@dataclass(frozen=True)
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


def read_captions_file(path: Path) -> CaptionsFile:
    """Read the images and the captions; the annotations may be missing. Raises DataError."""
    content = read_coco_object(path, "captions")
    with coco_format(path, "captions"):
        images = images_of(content)
        annotations = content.get("annotations", [])
        captions = tuple((int(entry["image_id"]), _text(entry)) for entry in annotations)
        captioned = not annotations or any("caption" in entry for entry in annotations)
    if not captioned:
        raise DataError(f"{path}: its annotations have no captions; expected COCO's captions file")
    if not images:
        raise DataError(f"{path}: lists no images")
    return CaptionsFile(images, captions)


def images_of(content: dict[str, Any]) -> tuple[CocoImage, ...]:
    """Read the list of images. Raises KeyError, TypeError or ValueError if it is not in COCO's format."""
    return tuple(CocoImage(int(e["id"]), str(e["file_name"]), _size(e)) for e in content["images"])


def read_coco_object(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of COCO "captions" or "instances". Raises DataError."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected COCO {kind} in JSON") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; expected a file of COCO {kind} in JSON") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); expected COCO {kind}") from None
    with coco_format(path, kind):
        if not isinstance(content, dict):
            raise TypeError(f"the file is a {type(content).__name__}")
    return content


@contextmanager
def coco_format(path: Path, kind: str) -> Iterator[None]:
    """Turn errors of unexpected content inside this context into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        message = f"{path}: not in COCO's {kind} format, an object with {WANTED[kind]}: {told}"
        raise DataError(message) from None


def _text(annotation: dict[str, Any]) -> str:
    """The caption of an annotation, or "" if it has none."""
    text = annotation.get("caption", "")
    if not isinstance(text, str):
        raise TypeError(f"a caption is a text, this one is {text!r}")
    return text


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    return (int(height), int(width)) if height and width else None
