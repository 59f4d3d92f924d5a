"""What the authors of the zoo's captioners compute with their own models, without gazeback."""

from typing import Any

import numpy as np
from zoo.captioners import KerasTransformer
from zoo.encoder import preprocess
from zoo.scenes import LENGTH


def log_probabilities(parts: dict[str, Any], pixels: np.ndarray, words: np.ndarray) -> np.ndarray:
    """log p(next word) after each word, float64 ``[n, T, V]``.

    Args:
        parts: what the author passes to ``wrap_captioner``.
        pixels: pictures ``[n, SIDE, SIDE, 3]``; ``words``: int32 ``[n, T]``, the start word first.
    """
    scores = _scores(parts, preprocess(pixels), words).astype(np.float64)
    if np.allclose(scores.sum(axis=-1), 1, atol=1e-4):
        return np.log(scores)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def _scores(parts: dict[str, Any], images: np.ndarray, words: np.ndarray) -> np.ndarray:
    if "model" in parts:
        model = parts["model"]
        found = model(images, words) if isinstance(model, KerasTransformer) else model([images, words])
        return np.asarray(found)[:, -words.shape[1] :]
    features = np.asarray(parts["encoder"](images))
    if "step" in parts:
        return _word_by_word(parts["step"], features, words)
    if "padding" in parts:
        return _next_words(parts["decoder"], features, words, parts["padding"])
    return np.asarray(parts["decoder"]([features, words]))


def _word_by_word(step: Any, features: Any, words: np.ndarray) -> np.ndarray:
    state, found = None, []
    for word in words.T:
        scores, state = step(word, features, state)
        found.append(np.asarray(scores))
    return np.stack(found, axis=1)


def _next_words(decoder: Any, features: Any, words: np.ndarray, padding: str) -> np.ndarray:
    found = []
    for end in range(1, words.shape[1] + 1):
        rows = np.zeros((len(words), LENGTH), np.int32)
        rows[:, slice(-end, None) if padding == "pre" else slice(0, end)] = words[:, :end]
        found.append(np.asarray(decoder([features, rows])))
    return np.stack(found, axis=1)
