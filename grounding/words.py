"""``ground``: a caption on a photo, word by word.

A word's evidence comes from its logit (docs/method.md); how visual it is, from the counterfactual: what
the language half would have given it on seeing the mean picture.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.head import Decomposition
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.tracer import Options, Traced, Tracer, tracer_of
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo, load_photo, squeeze
from gazeback.models.vocabulary import tokenize

RUNNERS_UP = 5


@dataclass(frozen=True)
class GroundedWord:
    """One word of a caption, and where it came from.

    Attributes:
        text: the word in lower case.
        known: whether the vocabulary has it; otherwise it is explained as the unknown word.
        logprob: log p(word | photo, words before), in nats.
        visual: ``logprob - language``: what the photo adds to the word, in nats.
        language: log p(word | mean picture, words before), in nats. ``logprob == visual + language`` exactly.
        visual_share: ``max(0, 1 - exp(-visual))``: the share of the word's probability that the photo
            brought.
        preceding: the signed exact contribution of each earlier word to this word's logit.
        runners_up: the most probable other words at this step, with their probabilities.
        fixations: the evidence, in pixels of the photo.
    """

    text: str
    known: bool
    logprob: float
    visual: float
    language: float
    visual_share: float
    preceding: tuple[float, ...]
    runners_up: tuple[tuple[str, float], ...]
    fixations: Fixations


@dataclass(frozen=True)
class Grounding:
    """A photo, its caption, and the evidence for each word.

    Attributes:
        photo: the upright photo.
        caption: the text; ``words``: its words in order.
        logprob: log p(caption | photo) in nats, the end of the caption included.
        method: how it was traced; ``model_name``: by which captioner.
    """

    photo: Photo
    caption: str
    logprob: float
    words: tuple[GroundedWord, ...]
    method: str
    model_name: str

    def save(self, out: str | os.PathLike[str]) -> dict[str, Path]:
        """Write STEM.html, STEM.png and STEM.json into a folder; returns their paths by ending."""
        from gazeback.grounding.outputs import write_outputs

        return write_outputs(self, Path(out), Path(self.photo.name).stem)


def ground(
    captioner: Captioner,
    photo: Any,
    caption: str | None = None,
    *,
    beam: int | None = None,
    method: str = "evidence",
    **options: Any,
) -> Grounding:
    """Caption a photo, or take a caption, and show which pixels each word came from.

    Args:
        captioner: from :func:`gazeback.models.load_captioner`.
        photo: a path, a Pillow image, a uint8 array ``[height, width, 3]`` or a loaded ``Photo``.
        caption: the caption to explain; None generates one by beam search.
        beam: the width of the beam search.
        method: ``"evidence"`` or ``"fixations"``.
        options: ``share``, ``location``, ``fc_to_spatial``; see :class:`gazeback.cnn_trace.tracer.Options`.

    Raises:
        UserError: a bad photo or caption; TraceError: an unknown method or option.
    """
    if beam is not None and beam < 1:
        raise UserError(f"beam must be at least 1, got {beam}")
    photo = photo if isinstance(photo, Photo) else load_photo(photo)
    texts = None if caption is None else caption_words(caption)
    small = squeeze(photo, captioner.image_size)
    session = _Session(captioner, small.pixels, method, options)
    if texts is None:
        width = {} if beam is None else {"beam": beam}
        texts = list(captioner.search(session.features, **width)[0][0].words)
    ids = captioner.vocabulary.encode(texts)
    if not ids:
        raise UserError(f"the captioner found no words for {photo.name}; give a caption to explain")
    traced = session.explain(ids, range(len(ids)))
    scores = _Scores(captioner, session.features, ids)
    shape = (photo.height, photo.width)
    words = tuple(
        scores.word(j, text, preceding, fixations.mapped(small.to_photo, shape))
        for j, (text, preceding, fixations) in enumerate(
            zip(texts, _preceding(traced, len(ids)), traced.fixations[0], strict=True)
        )
    )
    return Grounding(photo, caption or " ".join(texts), scores.total, words, method, captioner.name)


def caption_words(caption: str) -> list[str]:
    """The words of a caption, as the captioner's vocabulary splits them.

    Raises:
        UserError: there is no word in it.
    """
    words = tokenize(caption)
    if not words:
        raise UserError(f"the caption {caption!r} has no words; give at least one word to explain")
    return words


def word_evidence(
    captioner: Captioner,
    image: np.ndarray,
    word_ids: Sequence[int],
    positions: Sequence[int] | None = None,
    method: str = "evidence",
    **options: Any,
) -> list[Fixations]:
    """The evidence for words of a caption, in pixels of the model's input.

    Args:
        captioner: the caption generator.
        image: float32 ``[size, size, 3]``, RGB, 0 to 255.
        word_ids: the caption without start and end.
        positions: which words to explain; by default all.
        method, options: as for :func:`ground`.
    """
    positions = range(len(word_ids)) if positions is None else positions
    return _Session(captioner, image, method, options).explain(list(word_ids), positions).fixations[0]


class _Session:
    """One image seen once: the CNN's forward pass, then as many questions as there are words."""

    def __init__(self, captioner: Captioner, image: np.ndarray, method: str, options: dict[str, Any]) -> None:
        self.captioner = captioner
        self.options = Options(method=method, reference=captioner.mean_features, **options)
        self.tracer: Tracer = tracer_of(captioner.model)
        self.inputs = {"image": np.asarray(image, np.float32)[None], "words": np.zeros((1, 1), np.int32)}
        self.map = self.tracer.target(captioner.features_layer)
        self.seen: Recording = self.tracer.first_recording(
            self._arrays(), frozenset([self.map]), self.options
        )

    @property
    def features(self) -> np.ndarray:
        """The encoder's last map, float32 ``[1, h, w, C]``."""
        return self.seen[self.map]

    def _arrays(self) -> list[np.ndarray]:
        return [self.inputs[name] for name in self.tracer.graph.input_names]

    def explain(self, ids: list[int], positions: Sequence[int]) -> Traced:
        """Trace the logits of the words at some positions, all in one walk."""
        start = self.captioner.vocabulary.start
        self.inputs["words"] = np.array([[start, *ids[:-1]]], np.int32)
        # Output step 0 has seen only the image; step j + 1 predicts word j.
        neurons = np.array([[(j + 1, ids[j]) for j in positions]])
        target = self.tracer.target()
        return self.tracer.explain(
            self._arrays(), target, lambda recording: neurons, self.options, known=self.seen
        )


def _preceding(traced: Traced, words: int) -> list[tuple[float, ...]]:
    """For each word the contributions of the words before it; empty for methods without an exact head."""
    head: Decomposition | None = traced.decomposition
    if head is None:
        return [(0.0,) * j for j in range(words)]
    total = np.zeros((words, words))
    for tensor, coefficients in head.others.items():
        value = traced.recording[tensor]
        if value.ndim == 3 and value.shape[1] == words:
            total += (coefficients * value).sum(axis=-1)
    # Input step 0 is the start token, step j + 1 is word j.
    return [tuple(float(x) for x in total[j, 1 : j + 1]) for j in range(words)]


class _Scores:
    """Log-probabilities of a caption's words given the photo, and given the mean picture."""

    def __init__(self, captioner: Captioner, features: np.ndarray, ids: list[int]) -> None:
        self.vocabulary, self.ids = captioner.vocabulary, ids
        pooled = features.mean(axis=(1, 2))
        both = np.concatenate([pooled, captioner.mean_features[None]])
        words = np.array([[self.vocabulary.start, *ids]] * 2, np.int32)
        self.photo, self.mean = captioner.log_probabilities(both, words).astype(np.float64)
        steps = np.arange(len(ids) + 1)
        self.total = float(self.photo[steps, [*ids, self.vocabulary.end]].sum())

    def word(self, j: int, text: str, preceding: tuple[float, ...], fixations: Fixations) -> GroundedWord:
        """Word ``j`` with its scores."""
        logprob, language = _exact(self.photo[j, self.ids[j]]), _exact(self.mean[j, self.ids[j]])
        visual = logprob - language
        share = max(0.0, 1 - float(np.exp(-visual)))
        known = self.ids[j] != self.vocabulary.unknown
        others = self._runners_up(j)
        return GroundedWord(text, known, logprob, visual, language, share, preceding, others, fixations)

    def _runners_up(self, j: int) -> tuple[tuple[str, float], ...]:
        hidden = {self.ids[j], self.vocabulary.start, self.vocabulary.unknown}
        order = np.argsort(-self.photo[j])[: RUNNERS_UP + len(hidden)]
        names = self.vocabulary.words
        found = [(names[i], float(np.exp(self.photo[j, i]))) for i in order if int(i) not in hidden]
        return tuple(found[:RUNNERS_UP])


def _exact(logprob: float) -> float:
    # On a grid of 2^-30 nats differences and sums have no rounding error: logprob == visual + language holds.
    return float(np.ldexp(np.rint(np.ldexp(logprob, 30)), -30))
