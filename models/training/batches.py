"""Batches of captions of similar length, each of another photo as a rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gazeback.models.training.captions_folder import Split
from gazeback.models.vocabulary import Vocabulary

# Captions are shuffled, cut into chunks of this many batches, and sorted by length within a chunk.
CHUNK = 20


@dataclass(frozen=True)
class Batch:
    """``words`` ``[n, T]`` are the inputs, ``targets`` ``[n, T]`` the words to predict; ``weights`` are 0 on
    padding. ``photos`` ``[m]`` are the photos' indices in the split, ``rows`` ``[n]`` each caption's index
    into ``photos``.
    """

    photos: np.ndarray
    rows: np.ndarray
    words: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class EncodedCaptions:
    """The encoded captions of a split: for each caption its photo, and its words with start and end."""

    photos: np.ndarray
    words: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, split: Split, vocabulary: Vocabulary, max_words: int) -> "EncodedCaptions":
        """Encode every caption. A caption longer than ``max_words`` is cut, and has no end token to learn."""
        photos, words = [], []
        for number, captions in enumerate(split.captions):
            for caption in captions:
                ids = [vocabulary.start, *vocabulary.encode(caption), vocabulary.end]
                photos.append(number)
                words.append(np.array(ids[: max_words + 1], np.int32))
        return cls(np.array(photos), tuple(words))

    def __len__(self) -> int:
        return len(self.words)

    def batch(self, captions: Sequence[int] | np.ndarray) -> Batch:
        """Put these captions into one padded batch."""
        sentences = [self.words[caption] for caption in captions]
        length = max(len(sentence) for sentence in sentences) - 1
        words = np.zeros((len(sentences), length), np.int32)
        targets, weights = words.copy(), words.astype(np.float32)
        for row, sentence in enumerate(sentences):
            steps = len(sentence) - 1
            words[row, :steps], targets[row, :steps], weights[row, :steps] = sentence[:-1], sentence[1:], 1.0
        photos, rows = np.unique(self.photos[captions], return_inverse=True)
        return Batch(photos, rows.astype(np.int32), words, targets, weights)

    def by_length(self, size: int, random: np.random.Generator | None = None) -> Iterator[Batch]:
        """Every caption once, in batches of similar length; without ``random`` in the order of their
        length.

        All captions of a photo in one batch would share the photo's forward pass, but such batches teach
        much less.
        """
        order = np.arange(len(self)) if random is None else random.permutation(len(self))
        lengths, batches = np.array([len(sentence) for sentence in self.words]), []
        chunk = len(self) if random is None else size * CHUNK
        for start in range(0, len(order), chunk):
            near = order[start : start + chunk]
            near = near[np.argsort(lengths[near], kind="stable")]
            batches += [near[i : i + size] for i in range(0, len(near), size)]
        in_turn = range(len(batches)) if random is None else random.permutation(len(batches))
        yield from (self.batch(batches[i]) for i in in_turn)
