"""The support of a generated word: the calibrated probability that it is true of the photo.

A content word counts as true if people who describe the photo say it, in any form ("dog" for "dogs"). A
logistic regression predicts this from cues that the captioner has itself (``CUES``). It is fitted for one
captioner, on photos with captions (`gazeback.models.training.fit_support`), and stored with it.

The visual share is no such probability: it says how much the photo changed a word, right or wrong.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.content_words import is_content, stem
from gazeback.models.errors import ModelError
from gazeback.models.reading import read_arrays
from gazeback.models.sampled_captions import expected_mentions

MEMBER = "support.npz"
"""The member of a captioner's ``.keras`` file that holds its support."""

CUES = {
    "mentions": "log of how often a caption drawn at random says the word",
    "logprob": "log p(word | photo, words before)",
    "entropy": "entropy of the next word where this one was said",
    "visual": "logprob minus log p(word | mean picture, words before); only with an average picture",
    "caption": "mean logprob of the caption's words",
    "frequency": "log of the share of the training photos of which people say the word",
}

_RAREST = 0.003
"""Added to mentions and frequencies before their logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Support:
    """A logistic regression on the cues of content words.

    Attributes:
        cues: the names of the cues, the first ones of ``CUES`` that the captioner has.
        mean, scale: float ``[cues]``, of the cues on the photos of the fit.
        weights: float ``[cues]``, of the cues so standardised; ``bias``: float ``[1]``.
        frequency: float ``[V]``, the share of the training photos of which people say each word of the
            captioner, in any form.
        captioner: the :func:`fingerprint` of the captioner that it was fitted for.
    """

    cues: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    frequency: np.ndarray
    captioner: str

    def __call__(self, cues: Mapping[str, np.ndarray]) -> np.ndarray:
        """The probabilities that words are true, float64 ``[n]``; ``cues`` as of :func:`word_cues`."""
        values = np.stack([cues[name] for name in self.cues], axis=-1)
        return 1 / (1 + np.exp(-((values - self.mean) / self.scale @ self.weights + self.bias)))

    def to_bytes(self) -> bytes:
        """The content of an ``.npz`` file."""
        stream = io.BytesIO()
        arrays = {name: getattr(self, name).astype(np.float32) for name in _ARRAYS}
        np.savez_compressed(stream, cues=np.array(self.cues), captioner=np.array(self.captioner), **arrays)
        return stream.getvalue()

    @classmethod
    def read(cls, source: Path | bytes, name: str) -> Support:
        """Read what :meth:`to_bytes` wrote. Raises ModelError, which says what the file's name is."""
        content = read_arrays(source, name, "the support of a captioner's words", ModelError)
        if set(content) != {"cues", "captioner", *_ARRAYS}:
            raise ModelError(
                f"{name} holds {', '.join(content)}; expected the support of a captioner's words"
            )
        cues, captioner = tuple(map(str, content.pop("cues").ravel())), str(content.pop("captioner"))
        count = {one: len(cues) for one in ("mean", "scale", "weights")} | {"bias": 1}
        fits = set(cues) <= set(CUES) and all(content[one].shape == (n,) for one, n in count.items())
        if not fits or not all(array.dtype.kind == "f" for array in content.values()):
            raise ModelError(f"{name}: not a support of this version of gazeback; fit it again")
        if not all(np.isfinite(array).all() for array in content.values()):
            raise ModelError(f"{name}: damaged: its numbers are not finite")
        arrays = {one: array.astype(np.float64) for one, array in content.items()}
        return cls(cues=cues, captioner=captioner, **arrays)


_ARRAYS = ("mean", "scale", "weights", "bias", "frequency")


def fingerprint(captioner: CaptionGenerator) -> str:
    """A hash by which a captioner is told from another one: of its words and its average picture."""
    found = hashlib.sha256("\n".join(captioner.vocabulary.words).encode(errors="replace"))
    if captioner.mean_features is not None:
        found.update(np.ascontiguousarray(captioner.mean_features, np.float32).tobytes())
    return found.hexdigest()


def supported(captioner: CaptionGenerator, support: Support | None) -> CaptionGenerator:
    """Give a captioner the support of its words, if it was fitted for this captioner and no other."""
    if support is not None and support.captioner == fingerprint(captioner):
        captioner.support = support
    return captioner


def available_cues(captioner: CaptionGenerator) -> tuple[str, ...]:
    """The names of the cues that a captioner has."""
    return tuple(name for name in CUES if name != "visual" or captioner.mean_features is not None)


def word_scores(
    captioner: CaptionGenerator, features: np.ndarray, ids: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """log p(next word) at each word of a caption and at its end, given the photo and given the mean picture:
    float64 ``[n + 1, V]`` each. The second is None if the captioner has no mean picture.

    ``features``: the photo's last map ``[1, h, w, C]``; ``ids``: the caption without start and end.
    """
    pictures = [features]
    if captioner.mean_features is not None:  # a whole map, because a captioner need not pool it
        pictures.append(np.broadcast_to(captioner.mean_features, features.shape))
    words = np.array([[captioner.vocabulary.start, *ids]] * len(pictures), np.int32)
    scores = captioner.log_probabilities(np.concatenate(pictures), words).astype(np.float64)
    return scores[0], scores[1] if len(scores) > 1 else None


def word_supports(
    captioner: CaptionGenerator,
    features: np.ndarray,
    ids: Sequence[int],
    photo: np.ndarray,
    mean: np.ndarray | None,
) -> list[float | None]:
    """The support of each word of a caption; None for a function word, an unknown word, and for all words of
    a captioner without support. The arguments are those of :func:`word_cues`.
    """
    found: list[float | None] = [None] * len(ids)
    if captioner.support is not None:
        support = captioner.support
        positions, cues = word_cues(captioner, features, ids, photo, mean, support.frequency)
        for position, value in zip(positions, support(cues) if positions else (), strict=True):
            found[position] = float(value)
    return found


def word_cues(
    captioner: CaptionGenerator,
    features: np.ndarray,
    ids: Sequence[int],
    photo: np.ndarray,
    mean: np.ndarray | None,
    frequency: np.ndarray,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """The positions of a caption's content words, and their cues by name, float64 ``[positions]`` each.

    Args:
        captioner: the caption generator.
        features: the photo's last map, float32 ``[1, h, w, C]``.
        ids: the caption without start and end.
        photo, mean: see :func:`word_scores`.
        frequency: see :class:`Support`.
    """
    positions = [place for place, number in enumerate(ids) if _has_content(captioner, number)]
    said = np.array(ids)[positions].astype(int)
    own = photo[np.arange(len(ids)), list(ids)]
    mentions = expected_mentions(captioner, features, _same_stem(captioner, said)) if positions else said
    steps = photo[positions]
    cues = {
        "mentions": np.log(mentions + _RAREST),
        "logprob": own[positions],
        "entropy": -(np.exp(steps) * steps).sum(axis=-1, where=steps > -np.inf),
        "caption": np.full(len(positions), own.mean()),
        "frequency": np.log(frequency[said] + _RAREST),
    }
    if mean is not None:
        cues["visual"] = own[positions] - mean[positions, said]
    return positions, cues


def _has_content(captioner: CaptionGenerator, number: int) -> bool:
    return number != captioner.vocabulary.unknown and is_content(captioner.vocabulary.words[number].lower())


def _same_stem(captioner: CaptionGenerator, numbers: np.ndarray) -> list[list[int]]:
    """For each word, the numbers of all words with its stem."""
    of_stem: dict[str, list[int]] = defaultdict(list)
    for number, word in enumerate(captioner.vocabulary.words):
        of_stem[stem(word.lower())].append(number)
    return [of_stem[stem(captioner.vocabulary.words[number].lower())] for number in numbers]
