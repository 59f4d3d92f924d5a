"""Activations of the frozen part of the encoder, computed once per photo and view and kept on disk."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import keras
import numpy as np

from gazeback.models.contents import digest, versions
from gazeback.models.reading import is_file
from gazeback.models.training.captions_folder import Split
from gazeback.models.training.views import view
from gazeback.models.writing import new_array, whole, writing_to

BATCH = 50
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ActivationCache:
    """Activations of a layer of a frozen encoder over every photo of a split, one float16 file per view."""

    folder: Path
    encoder: keras.Model
    layer: str
    seed: int

    def load(self, split: Split, views: int, progress: Progress) -> list[np.ndarray]:
        """Return one memory-mapped float16 array ``[photos, ...]`` per view; computes what is missing.

        ``progress(done, total)`` counts photos times views.
        """
        total = views * len(split)
        for number in range(views):
            before = number * len(split)
            if not _is_whole(self._file(split, number)):
                with writing_to(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._compute(split, number, partial(_offset, progress, before, total))
        progress(total, total)
        return [np.load(self._file(split, number), mmap_mode="r") for number in range(views)]

    def _file(self, split: Split, number: int) -> Path:
        key = digest(self._encoder_digest, self.seed, split.photos_digest)[:12]
        return self.folder / f"{split.name}-{self.layer}-view{number}-{key}.npy"

    @cached_property
    def _encoder_digest(self) -> str:
        return digest(self.encoder, versions())

    def _compute(self, split: Split, number: int, progress: Callable[[int], None]) -> None:
        output = self.encoder.get_layer(self.layer).output
        frozen = keras.Model(self.encoder.input, output)
        frozen.compile(jit_compile=False)
        with whole(self._file(split, number)) as place:
            maps = new_array(place, np.float16, (len(split), *output.shape[1:]))
            for start, pixels in self._pixel_batches(split, number):
                maps[start : start + len(pixels)] = frozen.predict_on_batch(pixels)
                progress(start + len(pixels))
            maps.flush()

    def _pixel_batches(self, split: Split, number: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index of the first photo, float32 pixels); the next batch is decoded while one is
        computed.
        """
        size = self.encoder.input.shape[1]

        def decode(start: int) -> np.ndarray:
            photos = split.photos[start : start + BATCH]
            return np.stack([view(path, number, size, self.seed) for path in photos]).astype(np.float32)

        with ThreadPoolExecutor(1) as pool:
            starts = range(0, len(split), BATCH)
            pending = pool.submit(decode, 0)
            for start in starts:
                pixels = pending.result()
                if start + BATCH < len(split):
                    pending = pool.submit(decode, start + BATCH)
                yield start, pixels


def _is_whole(file: Path) -> bool:
    try:
        return is_file(file) and np.load(file, mmap_mode="r") is not None
    except (OSError, ValueError, EOFError):  # damaged
        return False


def _offset(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)
