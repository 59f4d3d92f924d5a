"""Captions as a captioner's inputs, when their words are given and not generated."""

from collections.abc import Sequence

import numpy as np

from gazeback.models.vocabulary import Vocabulary


def teacher_forced(vocabulary: Vocabulary, captions: Sequence[Sequence[int]]) -> np.ndarray:
    """The inputs int32 [n, T] whose step t predicts word t of each caption, given as ids without start.

    T is the longest caption. Shorter rows are filled with end tokens: what follows a word cannot change it.
    """
    inputs = np.full((len(captions), max(map(len, captions))), vocabulary.end, np.int32)
    for row, ids in zip(inputs, captions, strict=True):
        row[: len(ids)] = [vocabulary.start, *ids[:-1]]
    return inputs
