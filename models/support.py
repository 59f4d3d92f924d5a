"""The support of a generated word: the calibrated probability that it is true of the photo.

A content word counts as true if people who describe the photo say it, in any form ("dog" for "dogs"). A
logistic regression predicts this from cues that the captioner has itself (``CUES``). It is fitted for one
captioner, on photos with captions (`gazeback.models.training.fit_support`), and stored with it.

The visual share is no such probability: it says how much the photo changed a word, right or wrong.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.reading import read_arrays

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


@dataclass(frozen=True, eq=False)
class Support:
    """A logistic regression on the cues of content words.

    Attributes:
        cues: the names of the cues, the first ones of ``CUES`` that the captioner has.
        mean, scale: float ``[cues]``, of the cues on the photos of the fit.
        weights: float ``[cues]``, of the cues so standardised; ``bias``: float ``[1]``.
        stems: int ``[V]``, equal for words of the captioner that have the same stem.
        frequency: float ``[V]``, the share of the training photos of which people say a word with that stem.
        captioner: tells the captioner that it was fitted for from others.
    """

    cues: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    stems: np.ndarray
    frequency: np.ndarray
    captioner: str

    def __call__(self, cues: Mapping[str, np.ndarray]) -> np.ndarray:
        """The probabilities that words are true, float64 ``[n]``; ``cues``: as in ``ScoredCaption.cues``."""
        values = np.stack([cues[name] for name in self.cues], axis=-1)
        return 1 / (1 + np.exp(-((values - self.mean) / self.scale @ self.weights + self.bias)))

    def to_bytes(self) -> bytes:
        """The content of an ``.npz`` file."""
        stream = io.BytesIO()
        arrays = {name: getattr(self, name).astype(kind) for name, kind in _ARRAYS.items()}
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
        fits = fits and content["stems"].shape == content["frequency"].shape
        if not fits or any(content[one].dtype != kind for one, kind in _ARRAYS.items()):
            raise ModelError(f"{name}: not a support of this version of gazeback; fit it again")
        if not all(np.isfinite(array).all() for array in content.values()):
            raise ModelError(f"{name}: damaged: its numbers are not finite")
        return cls(cues=cues, captioner=captioner, **content)


_ARRAYS = dict.fromkeys(("mean", "scale", "weights", "bias", "frequency"), np.float32) | {"stems": np.int32}
