"""Read photos and their captions in COCO's captions format: `captions_SPLIT.json`, photos in `SPLIT/`.

The file is in the data folder or in its `annotations/`.
"""

from collections import Counter
from pathlib import Path

from gazeback.eval.data.coco import read_captions
from gazeback.eval.data.files import digest, split_file
from gazeback.eval.data.selection import Part, select
from gazeback.models.errors import DataError
from gazeback.models.reading import is_file


class CaptionData:
    """The photos of a split in the order of their names' hashes; `skipped` counts unusable annotations."""

    def __init__(self, folder: Path, split: str, part: Part = "all", limit: int | None = None) -> None:
        """Read the annotations. Raises DataError if folder, split or format are not as expected."""
        self.skipped: Counter[str] = Counter()
        file = split_file(folder, split, "captions")
        self.digest = digest([file])
        everything = read_captions(file, folder / split, self.skipped)
        self.everything = select(everything, [image.file_name for image in everything])
        """All photos of the split with captions, of both parts, also missing ones."""
        chosen = select(everything, [image.file_name for image in everything], part, limit)
        self.images = [image for image in chosen if is_file(image.path)]
        self.skipped["missing image"] += len(chosen) - len(self.images)
        if not self.images:
            raise DataError(
                f"no photo with captions in the {part} part of split {split!r} of {folder}; "
                f"{self.skipped['missing image']} are missing"
            )

    def names(self) -> list[str]:
        return [image.file_name for image in self.images]
