"""Run and trace a captioner that reads all words so far at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from gazeback.models.caption_generator import NO_WORD, Reading
from gazeback.models.language_half import State
from gazeback.models.wrapping.prediction import Prediction
from gazeback.models.wrapping.stages import Stage, Stages
from gazeback.models.wrapping.tokenizers import TokenizerWords

ROWS = 128
"""How many prefixes are read at once."""


@dataclass(frozen=True, eq=False)
class PrefixReader:
    """A captioner that reads prefixes of a caption.

    Attributes:
        model: of the image and the words, for tracing.
        stages: the image's way through it.
        build: the same model for words of one length, made once; None where that for any length can be
        traced.
        say: what the image becomes there and the words to the scores.
        prediction: how it predicts; ``words``: its words.
    """

    model: keras.Model
    build: Callable[[int | None], keras.Model] | None
    stages: Stages
    say: Stage
    prediction: Prediction
    words: TokenizerWords

    def start(self, features: np.ndarray) -> State:
        """The state before the first word; ``features``: maps ``[n, h, w, C]``."""
        met = self.stages.digest(np.asarray(features, np.float32))
        return (*met, np.zeros((len(features), 0), np.int32))

    def trial(self, features: np.ndarray, words: Sequence[int]) -> np.ndarray:
        """The scores of rows of some words, ``[n, V]`` or ``[n, T, V]``; ``features``: maps ``[n, h, w,
        C]``.
        """
        *met, _ = self.start(features)
        row, _ = self.prediction.row(words)
        return self._say(met, np.repeat(row[None], len(features), axis=0))

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """Read one word per row, int ``[n]``; return log p(next word) ``[n, V]`` and the new state."""
        *met, prefix = state
        prefix = np.concatenate([prefix, np.asarray(words, np.int32)[:, None]], axis=1)
        read = int((prefix[0] != NO_WORD).sum())
        if self.prediction.sequence and read > (self.prediction.length or read):
            return self._ended(len(prefix)), (*met, prefix)
        rows = np.stack([self.prediction.row(one)[0] for one in prefix])
        scores = self._say(met, rows)
        if self.prediction.sequence:
            scores = scores[:, self.prediction.step(read) + self.prediction.shift(read)]
        return self.prediction.log_probabilities(scores), (*met, prefix)

    def _ended(self, rows: int) -> np.ndarray:
        """The log-probabilities if no more words can be read: the caption ends for certain."""
        with np.errstate(divide="ignore"):
            sure = np.log(np.arange(len(self.words)) == self.words.end).astype(np.float32)
        return np.repeat(sure[None], rows, axis=0)

    def all_steps(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each of the words ``[n, T]`` (start first): ``[n, T, V]``."""
        *met, _ = self.start(features)
        words = np.asarray(words, np.int32)
        length = words.shape[1]
        if self.prediction.sequence:
            return self._of_sequences(met, words)
        prefixes = [one[: t + 1] for one in words for t in range(length)]
        image = np.repeat(np.arange(len(words)), length)
        found = []
        for rows, of in self._batches(prefixes, image):
            found.append(self._say([x[of] for x in met], rows))
        scores = np.concatenate(found).reshape(*words.shape, -1)
        return self.prediction.log_probabilities(scores)

    def _batches(
        self, prefixes: Sequence[np.ndarray], image: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Group prefixes, in their order, into rows of the same length."""
        rows = [self.prediction.row(prefix)[0] for prefix in prefixes]
        ends = [i for i in range(1, len(rows)) if len(rows[i]) != len(rows[i - 1])]
        parts = np.split(np.arange(len(rows)), ends) if ends else [np.arange(len(rows))]
        parts = [part[i : i + ROWS] for part in parts for i in range(0, len(part), ROWS)]
        return [(np.stack([rows[i] for i in part]), image[part]) for part in parts]

    def _of_sequences(self, met: Sequence[np.ndarray], words: np.ndarray) -> np.ndarray:
        read = np.cumsum(words[0] != NO_WORD)
        inside = read <= (self.prediction.length or len(read))
        rows = np.stack([self.prediction.row(one)[0] for one in words[:, inside]])
        shift = self.prediction.shift(int(read[inside][-1]))
        found = self._say(met, rows)[:, [self.prediction.step(int(m)) + shift for m in read[inside]]]
        ended = np.repeat(self._ended(len(words))[:, None], int((~inside).sum()), axis=1)
        return np.concatenate([self.prediction.log_probabilities(found), ended], axis=1)

    def _say(self, met: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
        (scores,) = self.say(*met, rows)
        return scores[:, 0] if self.prediction.step_axis else scores

    def readings(self, ids: Sequence[int]) -> list[Reading]:
        """How the model reads a caption (ids without start and end), such that each word is scored once."""
        prefix = [self.words.start, *ids[:-1]]
        if self.prediction.sequence:
            return [self._whole(prefix, ids)]
        rows = [self.prediction.row(prefix[: j + 1]) for j in range(len(ids))]
        axis = [0] * self.prediction.step_axis
        neurons = np.array([[*axis, number] for number in ids])
        if self.prediction.length is not None:
            return [self._reading(rows, tuple(range(len(ids))), neurons)]
        return [self._reading([row], (j,), neurons[j : j + 1]) for j, row in enumerate(rows)]

    def _whole(self, prefix: list[int], ids: Sequence[int]) -> Reading:
        read = np.cumsum(np.array(prefix) != NO_WORD)
        shift = self.prediction.shift(int(read[-1]))
        steps = [self.prediction.step(int(m)) + shift for m in read]
        return self._reading(
            [self.prediction.row(prefix)], tuple(range(len(ids))), np.column_stack([steps, ids])
        )

    def _reading(
        self, rows: Sequence[tuple[np.ndarray, np.ndarray]], positions: tuple[int, ...], neurons: np.ndarray
    ) -> Reading:
        words, columns = (np.stack(part) for part in zip(*rows, strict=True))
        # The prefix begins with the start word, which is no word of the caption.
        columns = np.where(columns > 0, columns - 1, NO_WORD)
        model = self.model if self.build is None else self.build(words.shape[1])
        return Reading(model, words, columns, positions, neurons)

    def stored(self) -> tuple[keras.Model, dict[str, Any]]:
        """The model for words of any length; it has no steps."""
        model = self.model if self.build is None else self.build(None)
        return model, {"features": 0, "states": 0, "sized": False}
