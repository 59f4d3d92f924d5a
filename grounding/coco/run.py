"""Ground a whole COCO split, image by image: a run resumes, and images that cannot be read are skipped.

It writes `OUT/images/STEM.{html,png,json,jpg}` for each image (the last is a thumbnail), `OUT/settings.json`,
and `OUT/photos.jsonl` with a hash of each photo that it has grounded. At the end it writes
`OUT/results.json` (COCO results), `OUT/boxes.json` (COCO detections) and `OUT/index.html` from the images'
JSON files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gazeback.grounding.coco.annotations import FourNumbers, Instances, write_boxes, write_results
from gazeback.grounding.output.files import unique_stems
from gazeback.grounding.output.index import IndexEntry, write_index
from gazeback.models.captions_file import CaptionsFile, CocoImage
from gazeback.models.contents import files_digest
from gazeback.models.errors import DataError, UserError
from gazeback.models.photos import BATCH
from gazeback.models.reading import Known, is_file, read_json, read_lines
from gazeback.models.writing import (
    append_line,
    json_text,
    keep_apart,
    together,
    write_atomically,
    writing_to,
)

T = TypeVar("T")

PHOTOS = "photos.jsonl"

KINDS = ("jpg", "html", "png", "json")


@dataclass(frozen=True, slots=True)
class Item:
    """An image of the split and the stem of its files."""

    image: CocoImage
    stem: str


@dataclass(frozen=True)
class Rendered:
    """The files of one image by their kind, and a hash of the photo that they show."""

    photo: str
    files: Mapping[str, bytes]


@dataclass
class Summary:
    """The outcome of a run. missing, bad: file names. *_strays: the numbers of dangling annotations."""

    images: int
    written: int = 0
    kept: int = 0
    missing: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    caption_strays: int = 0
    instance_strays: int = 0
    results: Path | None = None
    boxes: Path | None = None
    index: Path | None = None

    @property
    def grounded(self) -> int:
        return self.written + self.kept


class CocoRun:
    """A run that grounds the images of `split` in `images_dir` and writes into `out`."""

    def __init__(
        self,
        images_dir: Path,
        split: CaptionsFile,
        instances: Instances | None,
        out: Path,
        settings: dict[str, Any],
    ) -> None:
        """Find the files of each image. Raises UserError if `images_dir` is missing or `out` has other
        `settings`."""
        if not images_dir.is_dir():
            raise DataError(f"--coco {images_dir}: {'a file' if images_dir.exists() else 'no such folder'}")
        if (out / "images").exists() and (out / "images").samefile(images_dir):
            raise UserError(f"{out}: its images/ are the photos of --coco, which would be replaced")
        self.images_dir, self.instances, self.out = images_dir, instances, out
        self.settings, self.caption_strays = settings, split.dangling
        self._check_settings()
        lines = read_lines(self.out / PHOTOS, tuple[str, str], "the photos of an earlier run")
        self._grounded = dict(lines)
        # Stems are made from the whole split, so that they do not depend on the limit.
        stems = unique_stems([image.file_name for image in split.images])
        self.items = [Item(image, stem) for image, stem in zip(split.images, stems, strict=True)]

    def _check_settings(self) -> None:
        path = self.out / "settings.json"
        if path.exists():
            different = _differences(path, self.settings)
        else:
            different = "unknown ones" if (self.out / "images").exists() else ""
        if different:
            raise UserError(
                f"{self.out}: holds results of other settings ({different}); choose another --out"
            )

    def _claim(self) -> None:
        """Write the settings, just before the first result."""
        path = self.out / "settings.json"
        if not path.exists():
            self.out.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json_text(self.settings, indent=2).encode())

    def todo(self, items: Sequence[Item]) -> list[Item]:
        """The items of which a file is missing, or whose photo is another one than before."""
        return [item for item in items if not self._is_done(item)]

    def _is_done(self, item: Item) -> bool:
        if not all(path.is_file() for path in self.files(item)):
            return False
        photo = self.photo(item)
        return not is_file(photo) or self._grounded.get(item.stem) == files_digest([photo])

    def files(self, item: Item) -> list[Path]:
        return [self.out / "images" / f"{item.stem}.{kind}" for kind in KINDS]

    def photo(self, item: Item) -> Path:
        return self.images_dir / item.image.file_name

    def write(self, item: Item, rendered: Rendered) -> None:
        """Write one image's files, all or none."""
        paths = self.files(item)
        keep_apart([self.photo(item)], paths)
        with writing_to(self.out):
            self._claim()
            (self.out / "images").mkdir(parents=True, exist_ok=True)
            with together(*paths) as places:
                for kind, place in zip(KINDS, places, strict=True):
                    write_atomically(place, rendered.files[kind])
            append_line(self.out / PHOTOS, json_text([item.stem, rendered.photo]))
        self._grounded[item.stem] = rendered.photo

    def run(
        self,
        items: Sequence[Item],
        rendered: Callable[[Sequence[Sequence[Item]]], Iterable[Rendered | UserError]],
        mistake: Callable[[object], None],
        advance: Callable[[], None],
    ) -> Summary:
        """Ground the missing `items`; call `mistake` for each bad image and `advance` for each image.

        rendered: gets the images in batches, and yields their files, or why there are none, in this order.
        """
        summary = Summary(len(items), caption_strays=self.caption_strays)
        summary.instance_strays = self.instances.dangling if self.instances else 0
        todo = set(self.todo(items))
        there = [item for item in items if item in todo and is_file(self.photo(item))]
        found = iter(rendered([there[i : i + BATCH] for i in range(0, len(there), BATCH)]))
        wanted = set(there)
        for item in items:
            if item not in todo:
                summary.kept += 1
            elif item not in wanted:
                summary.missing.append(item.image.file_name)
            elif isinstance(one := next(found), Rendered):
                self.write(item, one)
                summary.written += 1
            else:
                summary.bad.append(item.image.file_name)
                mistake(one)
            advance()
        return summary

    def assemble(self, items: Sequence[Item], summary: Summary) -> None:
        """Write `results.json`, `boxes.json` and `index.html` of the grounded items, of which there is at
        least one."""
        unfinished = set(self.todo(items))
        done = [item for item in items if item not in unfinished]
        summary.results, summary.boxes = self.out / "results.json", self.out / "boxes.json"
        summary.index = self.out / "index.html"
        title = self.images_dir.resolve().name
        with writing_to(self.out):
            write_results(map(self._entry, done), summary.results)
            write_boxes(map(self._size, done), self._boxes(done), summary.boxes)
            write_index(map(self._shown, done), summary.index, title, count=len(done))

    def _entry(self, item: Item) -> dict[str, Any]:
        """An image's COCO result."""
        result = self._written(item, _Grounded)
        return {"image_id": item.image.id, "caption": result.caption, "words": result.words}

    def _size(self, item: Item) -> dict[str, Any]:
        """An image's entry in the file of boxes."""
        size = self._written(item, _Sized)
        name = item.image.file_name
        return {"id": item.image.id, "file_name": name, "height": size.height, "width": size.width}

    def _boxes(self, items: Iterable[Item]) -> Iterator[tuple[int, int, str, FourNumbers, float | None]]:
        """The boxes of the words, see `write_boxes`."""
        for item in items:
            for position, word in enumerate(self._written(item, _Captioned).words):
                if word.box is not None:
                    yield item.image.id, position, word.text, word.box, word.visual_share

    def _shown(self, item: Item) -> IndexEntry:
        """An image's entry in the index."""
        result = self._written(item, _Captioned)
        words = [{"text": word.text, "visual_share": word.visual_share} for word in result.words]
        small = {"photo": item.image.file_name, "caption": result.caption, "words": words}
        return IndexEntry(small, f"images/{item.stem}.html", f"images/{item.stem}.jpg")

    def _written(self, item: Item, kind: type[T]) -> T:
        return read_json(self.files(item)[-1], kind, "what this run wrote; delete it and run again")


class _Grounded(Known):
    caption: str
    words: list[dict[str, Any]]


class _Sized(Known):
    height: int
    width: int


class _Word(Known):
    text: str
    visual_share: float | None = None
    box: FourNumbers | None = None


class _Captioned(Known):
    caption: str
    words: list[_Word]


def _differences(path: Path, settings: dict[str, Any]) -> str:
    """The settings that differ from those in `path`, as "name: then -> now"."""
    try:
        stored = read_json(path, dict[str, Any], "the settings of an earlier run")
        return ", ".join(
            f"{name}: {_short(stored.get(name))}, now {_short(value)}"
            for name, value in settings.items()
            if stored.get(name) != value
        )
    except DataError:
        return "its settings.json is broken"


def _short(value: Any) -> str:
    return "default" if value is None else str(value)[:40]
