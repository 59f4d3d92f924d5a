"""One forward pass when a captioner is wrapped: what its scores are, and whether they can be what they
should.
"""

from __future__ import annotations

import warnings

import keras
import numpy as np

from gazeback.models.caption_generator import NO_WORD
from gazeback.models.errors import ModelError
from gazeback.models.wrapping.prediction import Prediction
from gazeback.models.wrapping.tokenizers import TokenizerWords

CLOSE = 1e-3
"""How far from 1 the sum of a word's probabilities may be, as half precision rounds them."""
WORDS = 3
"""How many words are read."""


def two_images(size: tuple[int, int]) -> np.ndarray:
    """Return noise and its negative, float32 ``[2, h, w, 3]`` in 0..255."""
    noise = np.random.default_rng(0).uniform(0, 255, (*size, 3)).astype(np.float32)
    return np.stack([noise, 255 - noise])


def some_words(words: TokenizerWords) -> list[int]:
    """Return the numbers of the start word and a few others."""
    named = [i for i, word in enumerate(words.words) if word and i not in words.special]
    return [words.start, *(named * WORDS)[: WORDS - 1]]


def check_special_words(prediction: Prediction, words: TokenizerWords) -> None:
    """Raise ModelError if the captioner lacks a special word that it needs."""
    if prediction.length is not None and words.pad == NO_WORD and not prediction.sequence:
        raise ModelError(
            f"pad: the captioner reads {prediction.length} words at a time, so fewer have to be padded; pass "
            "pad=, the number that stood for padding"
        )
    if words.start == NO_WORD and not prediction.leading and words.pad == NO_WORD:
        raise ModelError(
            "start: the captioner has no start word and no padding to predict the first word from"
        )
    if words.start == NO_WORD and prediction.sequence and not prediction.leading:
        raise ModelError(
            "start: no step predicts the first word; pass start=, the word that its captions begin with"
        )


def read_scores(prediction: Prediction, scores: np.ndarray, length: int, model: keras.Model) -> Prediction:
    """The prediction, with what the scores of two rows of words say.

    Args:
        scores: ``[2, V]`` or ``[2, T, V]`` of two images and the same words; ``length``: of a row.
        model: that made them.

    Raises:
        ModelError: they are not finite, or too few or too many.

    Warns:
        UserWarning: they do not depend on the image.
    """
    _check_finite(scores, model)
    if prediction.sequence:
        if scores.shape[1] not in (length, length + 1):
            raise ModelError(
                f"the captioner gives {scores.shape[1]} steps of scores for {length} words; expected "
                f"{length}, or {length + 1} with a first step that has seen the image alone"
            )
        prediction = prediction.with_leading(scores.shape[1] == length + 1)
    # The usual size of a score: those of words that are banned are huge.
    if np.abs(scores[0] - scores[1]).max() <= 1e-7 * np.median(np.abs(scores)):
        warnings.warn(
            "the captioner ignores its image: the scores of two images are the same, so every visual share "
            "is 0",
            UserWarning,
            stacklevel=2,
        )
    return prediction.with_probabilities(are_probabilities(scores))


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether scores ``[..., V]`` are probabilities: what a softmax gives, which must not be applied
    again.
    """
    return bool(scores.min() >= 0 and np.abs(scores.sum(axis=-1) - 1).max() < CLOSE)


def _check_finite(scores: np.ndarray, model: keras.Model) -> None:
    if np.isfinite(scores).all():
        return
    bad = [x for x in model.weights if not np.isfinite(keras.ops.convert_to_numpy(x)).all()]
    where = f"weights with NaN or infinite values in {bad[0].path!r}" if bad else "no NaN in its weights"
    raise ModelError(
        f"the captioner's scores are NaN or infinite ({where}); load the weights that were trained"
    )


def check_alone(scores: np.ndarray, alone: np.ndarray) -> None:
    """Raise ModelError if the scores of the first image differ when it is alone in the batch."""
    difference = np.abs(scores[:1] - alone).max()
    if difference > CLOSE * max(1.0, float(np.median(np.abs(alone)))):
        raise ModelError(
            f"the captioner's scores of an image depend on what else is in its batch (by {difference:.2g}); "
            "each row must be computed on its own, and nothing in it may be random"
        )
