"""The interface of every captioner, through which captions are generated, explained and measured."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import keras
import numpy as np

from gazeback.models.beam_search import Hypothesis, beam_search, greedy_search
from gazeback.models.errors import UserError
from gazeback.models.language_half import LanguageHalf

if TYPE_CHECKING:
    from gazeback.models.support import Support

BEAM = 3
LENGTH_NORMALISATION = 0.7
MAX_WORDS = 20
NO_WORD = -1
"""The number of a start, end or unknown word that a captioner does not have."""


class Words(Protocol):
    """The words of a captioner by their numbers; ``NO_WORD`` where it has no start, end or unknown word."""

    @property
    def words(self) -> tuple[str, ...]:
        """All words; a word's number is its index, and ``""`` stands where a number has no word."""
        ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def unknown(self) -> int: ...

    def __len__(self) -> int: ...

    def __contains__(self, word: str) -> bool: ...

    def tokenize(self, text: str) -> list[str]:
        """Split a caption into words, without start and end."""
        ...

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The words' numbers; raises UserError for a word that is unknown."""
        ...

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words with these numbers."""
        ...


@dataclass(frozen=True)
class Caption:
    """One generated caption.

    ``words`` and their numbers ``ids`` are without start and end; ``logprobs`` (nats) has one entry per
    word and then the end token's; ``logprob`` is their sum; ``score`` is what beam search ranked by.
    """

    words: tuple[str, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    logprob: float
    score: float

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, eq=False)
class Reading:
    """How a Keras model reads a caption or a part of it, and which neuron scores each word.

    Attributes:
        model: inputs are the image and the words, in this order.
        words: int32 ``[rows, T]``, the words' input: one row, or one row for each scored word.
        columns: int ``[rows, T]``, the index in the caption of each input word; ``NO_WORD`` at the start word
            and at padding.
        positions: the words of the caption that are scored.
        neurons: int ``[positions, rank - 1]``, the neuron that scores each word, without the batch axis.
        outputs: the output of the model that scores each word; one number if it is the same for all.
    """

    model: keras.Model
    words: np.ndarray
    columns: np.ndarray
    positions: tuple[int, ...]
    neurons: np.ndarray
    outputs: tuple[int, ...] = (0,)

    def about(self, positions: Sequence[int]) -> "Reading":
        """The part of this reading that scores the words at some positions."""
        chosen = [i for i, position in enumerate(self.positions) if position in positions]
        rows = chosen if len(self.words) > 1 else slice(None)
        return Reading(
            self.model,
            self.words[rows],
            self.columns[rows],
            tuple(self.positions[i] for i in chosen),
            self.neurons[chosen],
            tuple(self.outputs[i] for i in chosen) if len(self.outputs) > 1 else self.outputs,
        )


class CaptionGenerator(ABC):
    """A captioner: from an image to the probabilities of each next word.

    Attributes:
        model: a Keras model of the image and the words that computes at least the last map.
        features_layer: the path of the layer whose output is the last map that all evidence passes; None if
            that is the image itself.
        mean_features: the last map of the average picture, ``[h, w, C]``, or its mean ``[C]``; None if it was
            not measured.
        vocabulary: its words by their numbers.
        name: shown to users.
        max_words: the number of words after which a generated caption ends.
        limit: the most words of a caption that it reads; None where there is no limit.
        once: the words that beam search generates at most once in a caption.
        support: finds the probability that a generated word is true; None if it was not fitted.
    """

    model: keras.Model
    vocabulary: Words
    features_layer: str | None
    mean_features: np.ndarray | None
    name: str
    max_words: int = MAX_WORDS
    limit: int | None = None
    once: tuple[int, ...] = ()
    support: "Support | None" = None

    @property
    @abstractmethod
    def image_size(self) -> int | tuple[int, int]:
        """The size of the captioner's input in pixels: the side of a square, or (height, width)."""

    @property
    def side(self) -> int:
        """The side of the square input in pixels; raises UserError for a captioner of other images."""
        if isinstance(self.image_size, int):
            return self.image_size
        height, width = self.image_size
        raise UserError(f"{self.name} reads images of {height} x {width}; expected a captioner of squares")

    @property
    @abstractmethod
    def _steps(self) -> LanguageHalf:
        """The language half, one word at a time."""

    def model_input(self, images: np.ndarray) -> np.ndarray:
        """Preprocess images ``[n, h, w, 3]`` (RGB 0..255) for the model."""
        return np.asarray(images, np.float32)

    @abstractmethod
    def features(self, images: np.ndarray) -> np.ndarray:
        """The last map of images ``[n, h, w, 3]`` (RGB 0..255), float32 ``[n, h, w, C]``. One CNN pass."""

    @abstractmethod
    def log_probabilities(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each input word, in nats: float32 ``[n, T, V]``. The language half only.

        Args:
            features: the last maps ``[n, h, w, C]``.
            words: int ``[n, T]``, the start word first (``NO_WORD`` where there is none).
        """

    @abstractmethod
    def readings(self, ids: Sequence[int]) -> list[Reading]:
        """The readings of a caption (ids without start and end) that together score each word once."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the captioner to a ``.keras`` file, which ``load_captioner`` reads; raises ModelError."""

    def generate(
        self,
        images: np.ndarray,
        beam: int = BEAM,
        length_normalisation: float = LENGTH_NORMALISATION,
        max_words: int | None = None,
    ) -> list[Caption]:
        """The best caption of each image ``[n, h, w, 3]`` (RGB 0..255); see :meth:`search`."""
        return [best[0] for best in self.search(self.features(images), beam, length_normalisation, max_words)]

    def search(
        self,
        features: np.ndarray,
        beam: int = BEAM,
        length_normalisation: float = LENGTH_NORMALISATION,
        max_words: int | None = None,
    ) -> list[list[Caption]]:
        """Search up to ``beam`` captions per row of ``features``, best first, without the unknown word.

        A beam of 1 is greedy search: the most probable word at each step, even the unknown word, until that
        is the end word or a number without a word.
        """
        limit = self.max_words if max_words is None else max_words
        start, end = self.vocabulary.start, self.vocabulary.end
        if beam == 1:
            ends = {number for number, word in enumerate(self.vocabulary.words) if not word} | {end}
            greedy = greedy_search(self._steps, features, start=start, ends=ends, max_words=limit)
            return [[self.caption(hypothesis)] for hypothesis in greedy]
        found = beam_search(
            self._steps,
            features,
            start=start,
            end=end,
            forbidden=self.unsaid,
            once=self.once,
            beam=beam,
            length_normalisation=length_normalisation,
            max_words=limit,
        )
        return [[self.caption(hypothesis) for hypothesis in hypotheses] for hypotheses in found]

    @property
    def unsaid(self) -> tuple[int, ...]:
        """The words that beam search never generates."""
        return (self.vocabulary.unknown,)

    def caption(self, found: Hypothesis) -> Caption:
        """Turn a hypothesis of beam search into a caption."""
        words = tuple(self.vocabulary.decode(found.ids))
        return Caption(words, found.ids, found.logprobs, found.logprob, found.score)
