"""Ground images of a COCO split and render their files, a batch at a time."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image

from gazeback.grounding.coco.annotations import Instances, word_outlines
from gazeback.grounding.coco.run import Item, Rendered
from gazeback.grounding.output.writer import write_outputs
from gazeback.models.contents import files_digest
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo, load_batches
from gazeback.models.reading import read_bytes

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.grounding.commands.settings import Settings
    from gazeback.models.caption_generator import CaptionGenerator

THUMBNAIL = (320, 320)  # pixels


@dataclass(frozen=True)
class GroundImages:
    """Grounds images with some settings. Small and picklable: the captioner is loaded where it works."""

    settings: "Settings"
    images_dir: Path
    instances: Instances | None

    def load(self) -> "CaptionGenerator":
        return self.settings.load()

    def answers(self, captioner: "CaptionGenerator", batch: Sequence[Item]) -> Iterator[Rendered | UserError]:
        """Yield each image's files, or why it cannot be grounded."""
        paths = [self.images_dir / item.image.file_name for item in batch]
        before = [files_digest([path]) for path in paths]
        here = zip(batch, before, strict=True)
        for photos in load_batches(paths):
            good = [photo for photo in photos if isinstance(photo, Photo)]
            groundings = self.settings.ground_batch(captioner, good) if good else iter(())
            for photo, (item, digest) in zip(photos, islice(here, len(photos)), strict=True):
                found = next(groundings) if isinstance(photo, Photo) else photo
                yield found if isinstance(found, UserError) else self._rendered(found, item, digest)

    def _rendered(self, grounding: "Grounding", item: Item, digest: str) -> Rendered:
        words = [word.text for word in grounding.words]
        photo, known = grounding.photo, self.instances
        outlines = word_outlines(words, item.image, photo, known) if known else None
        with TemporaryDirectory() as folder:
            paths = write_outputs(grounding, Path(folder), item.stem, outlines)
            files = {kind: read_bytes(path, "what was just written") for kind, path in paths.items()}
        return Rendered(digest, {"jpg": _thumbnail(photo), **files})


def _thumbnail(photo: Photo) -> bytes:
    image = Image.fromarray(photo.pixels)
    image.thumbnail(THUMBNAIL)
    stream = io.BytesIO()
    image.save(stream, "JPEG")
    return stream.getvalue()
