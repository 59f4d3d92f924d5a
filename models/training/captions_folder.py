"""Read a folder of photos with captions in COCO's format into photos and tokenised captions."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gazeback.models.captions_file import read_captions_file
from gazeback.models.contents import digest, files_digest
from gazeback.models.errors import DataError
from gazeback.models.tune_part import in_tune_part
from gazeback.models.vocabulary import tokenize

# Where the two splits may lie: (captions file, folder of photos), with {} for the split's name.
_LAYOUTS = (
    ("captions_{}.json", "{}"),
    ("annotations/captions_{}.json", "{}"),
    ("annotations/captions_{}2017.json", "{}2017"),
    ("annotations/captions_{}2014.json", "{}2014"),
)
_DEV_NAMES = ("dev", "val")
EVERY = 10
"""Of a folder that is learned from besides the first, one photo in so many is set apart."""


@dataclass(frozen=True)
class Split:
    """Photos and, for each of them, its captions as lists of words."""

    name: str
    photos: tuple[Path, ...]
    captions: tuple[tuple[tuple[str, ...], ...], ...]

    def __len__(self) -> int:
        return len(self.photos)

    def of(self, numbers: Iterable[int]) -> "Split":
        """The photos with these numbers."""
        kept = list(numbers)
        return Split(self.name, tuple(self.photos[i] for i in kept), tuple(self.captions[i] for i in kept))

    @cached_property
    def photos_digest(self) -> str:
        """A hash of the contents of the photos."""
        return files_digest(self.photos)

    @cached_property
    def digest(self) -> str:
        """A hash of everything that is learned from: photos and captions."""
        return digest(self.photos_digest, self.captions)


def read_captions_folder(folder: str | Path) -> tuple[Split, Split]:
    """Return the train and the dev split of a captions folder.

    Known layouts: ``captions_train.json`` with ``train/`` (and the same for ``dev`` or ``val``), and COCO's
    ``annotations/captions_train2017.json`` with ``train2017/``. Raises DataError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with captions_train.json and train/")
    return _read_split(folder, ("train",)), _read_split(folder, _DEV_NAMES)


def read_train_split(folder: str | Path) -> Split:
    """Return the train split of a captions folder that need not have a dev split. Raises DataError."""
    return _read_split(Path(folder), ("train",))


def read_everyday(folder: str | Path) -> tuple[Split, Split]:
    """Return the train split of a captions folder in two parts: what captioners learn from besides another
    folder, and every tenth photo, which is set apart from that. Raises DataError.
    """
    whole = read_train_split(folder)
    apart = np.arange(len(whole)) % EVERY == EVERY - 1
    return whole.of(np.flatnonzero(~apart)), whole.of(np.flatnonzero(apart))


def read_tune_part(folder: str | Path) -> Split:
    """Return the tune part of a captions folder's dev split (``models/tune_part.py``). Raises DataError."""
    dev = _read_split(Path(folder), _DEV_NAMES)
    return dev.of(number for number, photo in enumerate(dev.photos) if in_tune_part(photo.name))


def together(first: Split, second: Split) -> Split:
    """Return one split of both, in which each photo has as many captions as those of ``first`` have at most:
    those of ``second`` repeat theirs, so that every photo counts the same.
    """
    most = max(len(captions) for captions in first.captions)
    repeated = tuple((captions * most)[:most] for captions in second.captions)
    return Split(first.name, first.photos + second.photos, first.captions + repeated)


def _read_split(folder: Path, names: tuple[str, ...]) -> Split:
    for name in names:
        for captions, photos in _LAYOUTS:
            file, photo_folder = folder / captions.format(name), folder / photos.format(name)
            if file.is_file() and photo_folder.is_dir():
                return read_split(file, photo_folder, name)
    raise DataError(
        f"{folder}: found no {' or '.join(names)} split; expected captions_{names[0]}.json and {names[0]}/ "
        f"or annotations/captions_{names[-1]}2017.json and {names[-1]}2017/"
    )


def read_split(file: Path, photo_folder: Path, name: str) -> Split:
    """Read one COCO captions file whose photos lie in ``photo_folder``; photos without captions are left
    out.
    """
    content = read_captions_file(file)
    paths = {image.id: photo_folder / image.file_name for image in content.images}
    captions: dict[int, list[tuple[str, ...]]] = {}
    for image, text in content.captions:
        if image not in paths:
            raise DataError(f"{file}: a caption of image {image}, which is not in its list of images")
        if words := tuple(tokenize(text)):
            captions.setdefault(image, []).append(words)
    kept = [(paths[image], tuple(sentences)) for image, sentences in captions.items()]
    if not kept:
        raise DataError(f"{file}: holds no captions")
    missing = next((path for path, _ in kept if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"{missing}: named in {file.name}, but there is no such photo")
    return Split(name, tuple(path for path, _ in kept), tuple(sentences for _, sentences in kept))
