"""Fit the support of a captioner's words: which of the words that it says of photos do people say, too?

The captioner writes a caption of each photo. Each of its content words is true if its stem is in one of the
photo's captions. A photo with one caption shows only some of the true words: a word that is true with
probability p is then found with ``c·p``, where c is how often one caption says a true word. It is counted on
the photos that have most captions (learning from positive and unlabelled examples: Elkan and Noto, KDD 2008).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.content_words import stem, stems
from gazeback.models.errors import DataError
from gazeback.models.photos import load_photo, squeeze
from gazeback.models.support import Support
from gazeback.models.training.captions_folder import Split
from gazeback.models.word_cues import ScoredCaption, available_cues, fingerprint

Captions = Sequence[Sequence[str]]

PENALTY = 1.0
"""The weight of the squared weights beside the words' log-likelihood."""

LEAST = 20
"""The least number of words that are learned from, of true ones and of others."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Content words of generated captions.

    Attributes:
        cues: float64 ``[n, cues]``.
        said: int ``[n]``, in how many of a photo's captions people say the word.
        captions: int ``[n]``, how many captions the photo has.
    """

    cues: np.ndarray
    said: np.ndarray
    captions: np.ndarray


def fit_support(
    captioner: CaptionGenerator,
    splits: Sequence[Split],
    photos: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Support:
    """Fit the support of a captioner on up to ``photos`` photos of each split, evenly chosen.

    ``report(done, total)`` is called after each photo. Raises DataError if there are too few words.
    """
    names = available_cues(captioner)
    stems_of_words, frequency = word_tables(captioner, splits)
    chosen = [
        (split.photos[i], split.captions[i])
        for split in splits
        for i in np.linspace(0, len(split) - 1, min(photos, len(split))).astype(int)
    ]
    found = []
    for done, (photo, captions) in enumerate(chosen, start=1):
        found.append(_examples(captioner, photo, captions, stems_of_words, frequency))
        report(done, len(chosen))
    examples = Examples(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    true = int((examples.said > 0).sum())
    if min(true, len(examples.said) - true) < LEAST:
        raise DataError(
            f"{len(chosen)} photos: of {len(examples.said)} words of the captioner, people say {true}; "
            f"expected at least {LEAST} that they say, and as many that they do not"
        )
    mean, scale = examples.cues.mean(axis=0), np.maximum(examples.cues.std(axis=0), 1e-6)
    weights = logistic((examples.cues - mean) / scale, examples.said > 0, detection(examples))
    learned = (mean, scale, weights[:-1], weights[-1:])
    return Support(names, *learned, stems_of_words, frequency, fingerprint(captioner))


def word_tables(captioner: CaptionGenerator, splits: Sequence[Split]) -> tuple[np.ndarray, np.ndarray]:
    """The ``stems`` and the ``frequency`` of a :class:`Support`."""
    said = Counter(word for split in splits for captions in split.captions for word in stems(captions))
    words = [stem(word.lower()) for word in captioner.vocabulary.words]
    number = {word: i for i, word in enumerate(dict.fromkeys(words))}
    shares = np.array([said[word] / sum(map(len, splits)) for word in words])
    return np.array([number[word] for word in words]), shares


def _examples(
    captioner: CaptionGenerator,
    photo: Path,
    captions: Captions,
    stems_of_words: np.ndarray,
    frequency: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The examples of one photo, as the fields of `Examples`."""
    pixels = squeeze(load_photo(photo), captioner.image_size).pixels
    features = np.asarray(captioner.features(pixels[None]))
    scored = ScoredCaption.of(captioner, features, captioner.search(features)[0][0].ids)
    cues = scored.cues(stems_of_words, frequency)
    told = [stems([caption]) for caption in captions]
    words = [stem(captioner.vocabulary.words[scored.ids[place]].lower()) for place in scored.content]
    said = np.array([sum(word in of for of in told) for word in words], int)
    table = np.stack([cues[name] for name in available_cues(captioner)], axis=-1)
    return table, said, np.full(len(words), len(captions))


def detection(examples: Examples) -> np.ndarray:
    """The probability that a true word is in one of a photo's captions, float ``[n]``.

    A word is true if it is in one of the captions of a photo that has most of them. With r of these n
    captions, m of which say the word, it is found with probability ``1 - C(n - m, r) / C(n, r)``.
    """
    most = int(examples.captions.max())
    said = examples.said[(examples.captions == most) & (examples.said > 0)].tolist()
    of_count = {
        count: float(np.mean([1 - comb(most - m, count) / comb(most, count) for m in said] or [1.0]))
        for count in set(examples.captions.tolist())
    }
    return np.array([of_count[count] for count in examples.captions.tolist()])


def logistic(cues: np.ndarray, found: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """The weights and the bias, float ``[cues + 1]``, of p = sigmoid(cues @ weights + bias), such that words
    are found with probability ``detected * p``.

    They maximise the log-likelihood minus ``PENALTY / 2`` times the squared weights.
    """
    design = np.column_stack([cues, np.ones(len(cues))])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        seen = detected * p
        penalised = np.append(weights[:-1], 0)
        likelihood = np.where(found, np.log(seen), np.log1p(-seen + 1e-12)).sum()
        slope = np.where(found, 1 - p, -seen * (1 - p) / (1 - seen + 1e-12))
        return PENALTY / 2 * penalised @ penalised - likelihood, PENALTY * penalised - slope @ design

    return np.asarray(minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x)
