"""A wrapped captioner, which ``ground``, beam search, the command line and evaluation accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from gazeback.models.caption_generator import MAX_WORDS, CaptionGenerator, Reading
from gazeback.models.language_half import LanguageHalf
from gazeback.models.wrapping import stored
from gazeback.models.wrapping.colours import Colours
from gazeback.models.wrapping.pictures import ImageInput
from gazeback.models.wrapping.prediction import Prediction
from gazeback.models.wrapping.stages import Stage
from gazeback.models.wrapping.tokenizers import TokenizerWords


class Reader(LanguageHalf, Protocol):
    """Runs the language half of a wrapped captioner, and says how it is traced."""

    def all_steps(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each of the words ``[n, T]`` (start first): ``[n, T, V]``."""
        ...

    def readings(self, ids: Sequence[int]) -> list[Reading]:
        """How a Keras model reads a caption, such that each word is scored once."""
        ...

    @property
    def prediction(self) -> Prediction:
        """How the captioner predicts."""
        ...

    def stored(self) -> tuple[keras.Model, dict[str, Any]]:
        """The captioner as one Keras model, and its settings for a file."""
        ...


@dataclass(eq=False)
class WrappedCaptioner(CaptionGenerator):
    """A captioner that :func:`gazeback.models.wrap_captioner` made.

    Attributes:
        image_input: makes the encoder's input from RGB pixels.
        look: makes the last map from that input.
        reader: the language half.
        limit: the most words of a caption, None where there is no limit.
    """

    model: keras.Model
    vocabulary: TokenizerWords
    mean_features: np.ndarray | None
    features_layer: str | None
    name: str
    image_input: ImageInput
    look: Stage
    reader: Reader
    limit: int | None

    @property
    def image_size(self) -> int | tuple[int, int]:
        """The side of the square image that it reads, or (height, width), in pixels."""
        height, width = self.image_input.size
        return height if height == width else (height, width)

    @property
    def max_words(self) -> int:  # type: ignore[override]
        """The number of words after which a generated caption ends."""
        return self.limit or MAX_WORDS

    @property
    def _steps(self) -> LanguageHalf:
        return self.reader

    def model_input(self, images: np.ndarray) -> np.ndarray:
        """Images ``[n, h, w, 3]`` (RGB 0..255) as the encoder reads them."""
        return self.image_input(images)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The last map of images ``[n, h, w, 3]`` (RGB 0..255), float32 ``[n, h, w, C]``. One CNN pass."""
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != (*self.image_input.size, 3):
            height, width = self.image_input.size
            raise ValueError(f"expected images of shape [n, {height}, {width}, 3], got {list(images.shape)}")
        (found,) = self.look(self.model_input(images))
        return found

    def log_probabilities(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each input word, in nats: float32 ``[n, T, V]``. The language half only.

        Args:
            features: the last maps ``[n, h, w, C]``.
            words: int ``[n, T]``, the start word first (``NO_WORD`` where there is none).
        """
        words = np.asarray(words, np.int32)
        if words.ndim != 2 or len(words) != len(features):
            raise ValueError(f"expected words [n, T] for {len(features)} images, got shape {words.shape}")
        return self.reader.all_steps(features, words)

    def readings(self, ids: Sequence[int]) -> list[Reading]:
        """How the Keras model reads a caption (ids without start and end), such that each word is scored
        once.
        """
        return self.reader.readings(ids)

    @property
    def unsaid(self) -> tuple[int, ...]:
        """The words that beam search never says: the unknown word, padding, and numbers without a word."""
        words = self.vocabulary
        nameless = (i for i, word in enumerate(words.words) if not word or i in (words.unknown, words.pad))
        return tuple(i for i in nameless if i != words.end)

    def save(self, path: str | Path) -> None:
        """Write the captioner to a ``.keras`` file, which ``load_captioner`` reads; raises ModelError."""
        reader, words = self.reader, self.vocabulary
        model, counts = reader.stored()
        about = stored.About(
            name=self.name,
            words=words.words,
            start=words.start,
            end=words.end,
            unknown=words.unknown,
            pad=words.pad,
            before=reader.prediction.before,
            limit=self.limit,
            features_layer=self.features_layer,
            **counts,
        )
        support = None if self.support is None else self.support.to_bytes()
        stored.write(Path(path), model, about, Colours.of(self.image_input), self.mean_features, support)
