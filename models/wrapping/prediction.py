"""How a captioner predicts: what its words' input contains, and where each word is scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gazeback.models.caption_generator import NO_WORD
from gazeback.models.errors import ModelError, UserError
from gazeback.models.language_half import log_softmax

KINDS = ("next", "sequence")
SIDES = ("pre", "post")
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Prediction:
    """How a captioner predicts.

    Attributes:
        sequence: the words of all steps at once, ``[n, T, V]``, or only the next one, ``[n, V]``.
        length: how many words its input holds; None where that is free.
        before: padding stands before the words, not behind them.
        pad: the number of padding.
        leading: a sequence begins with a step that has seen the image alone.
        step_axis: the next word comes with an axis of one step, ``[n, 1, V]``.
        probabilities: the scores are probabilities, not logits.
    """

    sequence: bool
    length: int | None
    before: bool
    pad: int
    leading: bool = False
    step_axis: bool = False
    probabilities: bool = False

    @classmethod
    def of(
        cls,
        scores: Any,
        words: Any,
        *,
        predicts: str | None,
        padding: str | None,
        pad: int,
    ) -> Prediction:
        """Find out how a captioner predicts from its shapes.

        Args:
            scores, words: its symbolic output and its words' input.
            predicts, padding: as the user gives them; None: by the shapes.
            pad: the number of padding.

        Raises:
            ModelError: the two contradict each other.
        """
        if predicts not in (None, *KINDS):
            raise ModelError(f"predicts: expected 'next', 'sequence' or None, got {predicts!r}")
        if padding not in (None, *SIDES):
            raise ModelError(f"padding: expected 'pre', 'post' or None, got {padding!r}")
        rank, length = len(scores.shape), words.shape[1]
        step_axis = rank == 3 and scores.shape[1] == 1 and length != 1
        sequence = rank == 3 and not step_axis
        if predicts is not None and sequence != (predicts == "sequence"):
            found = "one next word" if not sequence else "the words of all steps"
            raise ModelError(
                f"predicts={predicts!r}, but the scores have the shape {[*scores.shape]}, {found}; leave it "
                "out"
            )
        before = not sequence if padding is None else padding == "pre"
        return cls(sequence, length, before, pad, step_axis=step_axis)

    def row(self, prefix: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """The row of the words' input after some words, int32 ``[T]``, and the index of each of its words.

        A next word is predicted from the last words where there are too many, as ``pad_sequences`` cuts them.

        Raises:
            UserError: there are more words than a sequence holds.
        """
        ids = [(i, number) for i, number in enumerate(prefix) if number != NO_WORD]
        if self.sequence and self.length is not None and len(ids) > self.length:
            raise UserError(f"a caption of {len(ids)} words is too long: the captioner reads {self.length}")
        size = self.length or max(len(ids), 1)
        ids = ids[-size:]
        row, columns = np.full(size, self.pad, np.int32), np.full(size, NO_WORD)
        first = size - len(ids) if self.before else 0
        for place, (column, number) in enumerate(ids, start=first):
            row[place], columns[place] = number, column
        return row, columns

    def step(self, read: int) -> int:
        """The step of a whole row at which the word after ``read`` words is scored."""
        return read if self.leading else read - 1

    def shift(self, words: int) -> int:
        """The number of steps of padding before a row of this many words."""
        return self.length - words if self.before and self.length else 0

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Convert scores ``[..., V]`` to log-probabilities in nats."""
        if self.probabilities:
            return np.log(np.maximum(scores, _TINY))
        return log_softmax(scores)

    def with_leading(self, leading: bool) -> Prediction:
        """The same, of a sequence that begins with the image's own step, or does not."""
        return replace(self, leading=leading)

    def with_probabilities(self, probabilities: bool) -> Prediction:
        """The same, of probabilities or logits."""
        return replace(self, probabilities=probabilities)
