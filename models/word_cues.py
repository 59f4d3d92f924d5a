"""The cues from which the support of a caption's words is found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.content_words import is_content
from gazeback.models.sampled_captions import expected_mentions
from gazeback.models.support import CUES, Support

_RAREST = 0.003
"""Added to mentions and frequencies before their logarithm is taken."""


@dataclass(frozen=True, eq=False)
class ScoredCaption:
    """A caption of a photo, and log p(next word) at each of its words and at its end.

    Attributes:
        captioner: the caption generator.
        features: the photo's last map, float32 ``[1, h, w, C]``.
        ids: the caption without start and end.
        photo: given the photo, float64 ``[n + 1, V]``, in nats.
        mean: given the mean picture; None if the captioner has none.
    """

    captioner: CaptionGenerator
    features: np.ndarray
    ids: Sequence[int]
    photo: np.ndarray
    mean: np.ndarray | None

    @classmethod
    def of(cls, captioner: CaptionGenerator, features: np.ndarray, ids: Sequence[int]) -> ScoredCaption:
        """Run the language half on a caption of a photo."""
        pictures = [features]
        if captioner.mean_features is not None:  # a whole map, because a captioner need not pool it
            pictures.append(np.broadcast_to(captioner.mean_features, features.shape))
        words = np.array([[captioner.vocabulary.start, *ids]] * len(pictures), np.int32)
        scores = captioner.log_probabilities(np.concatenate(pictures), words).astype(np.float64)
        return cls(captioner, features, ids, scores[0], scores[1] if len(scores) > 1 else None)

    @property
    def content(self) -> list[int]:
        """The positions of the words that have a support: content words that the captioner knows."""
        words = self.captioner.vocabulary
        return [
            place
            for place, number in enumerate(self.ids)
            if number != words.unknown and is_content(words.words[number].lower())
        ]

    def supports(self) -> list[float | None]:
        """The support of each word; None for a word that has none, and for all words of a captioner without
        support."""
        found: list[float | None] = [None] * len(self.ids)
        support, content = self.captioner.support, self.content
        if support is not None and content:
            values = support(self.cues(support.stems, support.frequency))
            for place, value in zip(content, values.tolist(), strict=True):
                found[place] = value
        return found

    def cues(self, stems: np.ndarray, frequency: np.ndarray) -> dict[str, np.ndarray]:
        """The cues of the content words by their name in ``CUES``, float64 ``[content words]`` each.

        ``stems``, ``frequency``: see :class:`gazeback.models.support.Support`.
        """
        content, said = self.content, np.array(self.ids, int)
        own = self.photo[np.arange(len(said)), said]
        steps, said_here = self.photo[content], said[content]
        groups = [np.flatnonzero(stems == stems[number]) for number in said_here]
        cues = {
            "mentions": np.log(expected_mentions(self.captioner, self.features, groups) + _RAREST),
            "logprob": own[content],
            "entropy": -(np.exp(steps) * steps).sum(axis=-1, where=steps > -np.inf),
            "caption": np.full(len(content), own.mean() if len(own) else 0.0),
            "frequency": np.log(frequency[said_here] + _RAREST),
        }
        if self.mean is not None:
            cues["visual"] = own[content] - self.mean[content, said_here]
        return cues


def available_cues(captioner: CaptionGenerator) -> tuple[str, ...]:
    """The names of the cues that a captioner has."""
    return tuple(name for name in CUES if name != "visual" or captioner.mean_features is not None)


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
