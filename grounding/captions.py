"""Explain a caption of a photo, word by word.

The evidence of a word explains its logit (docs/method.md). Its visual share comes from a counterfactual: the
probability that the language half gives the word on the mean picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.tracer import METHODS, Options
from gazeback.grounding.explanation import MAP_LONGEST, Explanation, on_photo
from gazeback.grounding.methods import check_methods, explained_words, is_traced
from gazeback.grounding.preceding import measured
from gazeback.grounding.traced_words import WordTracer, look_together, reads_batches
from gazeback.models.caption_generator import NO_WORD, CaptionGenerator, Words
from gazeback.models.classifiers import ModelInput
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo, Preprocessed, load_photo, squeeze
from gazeback.models.word_cues import ScoredCaption
from gazeback.models.writing import printable

RUNNERS_UP = 5


@dataclass(frozen=True)
class GroundedWord:
    """One word of a caption, and where it came from.

    Attributes:
        text: the word in lower case.
        known: whether the word is in the vocabulary; if not, it is explained as the unknown word.
        logprob: log p(word | photo, words before), in nats.
        visual: ``logprob - language``, the change that the photo makes, in nats.
        language: log p(word | mean picture, words before), in nats. ``logprob == visual + language`` exactly.
        visual_share: ``max(0, 1 - exp(-visual))``, the fraction of the word's probability that the photo
            contributed. This and the two above are None if the captioner has no average picture.
        preceding: the signed exact contribution of each earlier word to this word's logit. With a
            ``contrast``, it is the contribution to this logit minus those of the other words.
        runners_up: the alternatives: the most probable other words at this step, with their probabilities.
        fixations: the evidence, in pixels of the photo; None if no method was asked for that finds points.
        maps: the explanations of the other methods, by name: points, or only a heat map.
        preceding_by: other measures of how much each earlier word matters, by name, if they were asked for:
            "removal" (:func:`gazeback.grounding.preceding.removal`) and the registered ones.
        support: the probability that the word is true of the photo, calibrated on generated captions
            (:mod:`gazeback.models.support`); None for function words and unknown words, for a caption that
            was given, and if the captioner has no support.
    """

    text: str
    known: bool
    logprob: float
    visual: float | None
    language: float | None
    visual_share: float | None
    preceding: tuple[float, ...]
    runners_up: tuple[tuple[str, float], ...]
    fixations: Fixations | None
    maps: Mapping[str, Explanation] = field(default_factory=dict)
    preceding_by: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    support: float | None = None

    def explanations(self, methods: Iterable[str]) -> list[Explanation]:
        """The explanations by some of the grounding's methods, in their order."""
        return [self.maps.get(method) or Explanation(method, self.fixations) for method in methods]


@dataclass(frozen=True)
class Grounding:
    """A photo, its caption, and the evidence for each word.

    Attributes:
        photo: the upright photo.
        caption: the text; ``words``: its words in order.
        logprob: log p(caption | photo) in nats, the end of the caption included.
        method: the tracing method; ``model_name``: the captioner.
        methods: all methods, in the order in which they were given; ``method`` is the first that has points,
            or the first.
    """

    kind: ClassVar[Literal["words"]] = "words"
    """The kind of the answers, which chooses how they are written."""

    photo: Photo
    caption: str
    logprob: float
    words: tuple[GroundedWord, ...]
    method: str
    model_name: str
    methods: tuple[str, ...]

    def __getitem__(self, text: str) -> GroundedWord:
        """The first word of the caption with this text: ``grounding["dog"]``.

        Raises:
            UserError: the caption has no such word.
        """
        for word in self.words:
            if word.text == text:
                return word
        raise UserError(f"the caption has no word {text!r}; its words: {', '.join(self._words())}")

    def _ipython_key_completions_(self) -> list[str]:
        return self._words()

    def _words(self) -> list[str]:
        return list(dict.fromkeys(word.text for word in self.words))

    def _repr_html_(self) -> str:
        from gazeback.grounding.output.writer import notebook_html

        return notebook_html(self)

    def save(self, out: str | os.PathLike[str]) -> dict[str, Path]:
        """Write STEM.html, STEM.png and STEM.json into a folder; returns their paths by ending."""
        from gazeback.grounding.output.writer import write_outputs

        return write_outputs(self, Path(out), Path(self.photo.name).stem)


MOST_WORDS, MOST_BEAM = 200, 100
"""The most words of a caption, and the widest beam: memory grows with both."""


def ground(
    captioner: CaptionGenerator,
    photo: Any,
    caption: str | None = None,
    *,
    beam: int | None = None,
    method: str = "evidence",
    methods: Sequence[str] | None = None,
    preceding: bool = False,
    **options: Any,
) -> Grounding:
    """Caption a photo, or take a caption, and show which pixels each word came from.

    Args:
        captioner: from :func:`gazeback.models.load_captioner`.
        photo: a path, a Pillow image, a uint8 array ``[height, width, 3]`` or a loaded ``Photo``.
        caption: the caption to explain; None: generate one by beam search.
        beam: the width of the beam search.
        method: one of the core's (:data:`gazeback.cnn_trace.METHODS`).
        methods: several methods to compare, instead of ``method``: names out of
            :func:`gazeback.grounding.methods.known_methods`.
        preceding: also measure in other ways how much the earlier words matter (see ``preceding_by``).
        options: for the core's methods, ``looks``, ``others``, ``share``, ``contrast`` and others; see
            :class:`gazeback.cnn_trace.tracer.Options`.

    Raises:
        UserError: a bad photo, caption or list of methods, or a method that cannot explain captioners;
        TraceError: an unknown method or option.
    """
    photo = photo if isinstance(photo, Photo) else load_photo(photo)
    how = {"beam": beam, "method": method, "methods": methods, "preceding": preceding, **options}
    (found,) = ground_batch(captioner, [photo], caption, **how)
    if isinstance(found, UserError):
        raise found
    return found


def ground_batch(
    captioner: CaptionGenerator,
    photos: Sequence[Photo],
    caption: str | None = None,
    *,
    beam: int | None = None,
    method: str = "evidence",
    methods: Sequence[str] | None = None,
    preceding: bool = False,
    **options: Any,
) -> Iterator[Grounding | UserError]:
    """Ground several photos, which the CNN reads at once, as :func:`ground` does one by one.

    Memory grows with the number of photos. For a photo that cannot be grounded the error is yielded.

    Args:
        photos: loaded photos; the other arguments are those of :func:`ground`.

    Raises:
        UserError: a bad caption or list of methods; TraceError: an unknown method or option.
    """
    if beam is not None and not 1 <= beam <= MOST_BEAM:
        bound = "at least 1" if beam < 1 else f"at most {MOST_BEAM}"
        raise UserError(f"beam must be {bound}, got {beam}")
    names = (Options(method=method).method,) if methods is None else compared(methods)
    caption = None if caption is None else printable(caption)
    looks = _looks(captioner, photos, names, options)
    for photo, look in zip(photos, looks, strict=True):
        try:
            found: Grounding | UserError = _grounded(captioner, photo, look, names, caption, beam, preceding)
        except UserError as error:
            found = error
        yield found


@dataclass(frozen=True, eq=False)
class _Look:
    """A photo as the captioner reads it, its last map ``[1, h, w, C]``, and the tracer of its words, if a
    method was asked for that needs rules for the layers."""

    small: Preprocessed
    features: np.ndarray
    session: WordTracer | None


def _looks(
    captioner: CaptionGenerator, photos: Sequence[Photo], methods: Sequence[str], options: dict[str, Any]
) -> list[_Look]:
    """Run the CNN on photos."""
    smalls = [squeeze(photo, captioner.image_size) for photo in photos]
    traced = [name for name in methods if is_traced(name)]
    if traced:
        sessions = [
            _session(captioner, photo, small, traced[0], options)
            for photo, small in zip(photos, smalls, strict=True)
        ]
        look_together(sessions)
        return [_Look(one, of.features, of) for one, of in zip(smalls, sessions, strict=True)]
    if options:
        raise UserError(
            f"{', '.join(options)}: an option of {', '.join(METHODS)}; name one of them beside {methods[0]}"
        )
    pixels = np.stack([small.pixels for small in smalls])
    size = len(pixels) if reads_batches(captioner.model) else 1
    parts = [captioner.features(pixels[i : i + size]) for i in range(0, len(pixels), size)]
    features = np.concatenate(parts)
    return [_Look(small, features[i : i + 1], None) for i, small in enumerate(smalls)]


def _grounded(
    captioner: CaptionGenerator,
    photo: Photo,
    look: _Look,
    names: tuple[str, ...],
    caption: str | None,
    beam: int | None,
    preceding: bool,
) -> Grounding:
    features = look.features
    if caption is None:
        # Photo by photo: in a batch the scores differ in their last digit, and so might the caption.
        width = {} if beam is None else {"beam": beam}
        texts = list(captioner.search(features, **width)[0][0].words)
    else:
        texts = caption_words(captioner.vocabulary, caption)
    ids = captioner.vocabulary.encode(texts)
    if not ids:
        raise UserError(f"the captioner found no words for {photo.name}; give a caption to explain")
    first = next((name for name in names if is_traced(name)), names[0])
    found, contributions = _explained(captioner, look.session, names, look.small, ids)
    measures = measured(captioner, look.small.pixels, features, ids) if preceding else {}
    scores = _Scores(captioner, features, ids, generated=not caption)
    words = tuple(
        scores.word(
            j,
            text,
            preceding=_before(contributions, j),
            fixations=found[first][j].fixations,
            maps={
                name: of_words[j]
                for name, of_words in found.items()
                if name != first or of_words[j].fixations is None
            },
            preceding_by={name: _before(values, j) for name, values in measures.items()},
        )
        for j, text in enumerate(texts)
    )
    return Grounding(photo, caption or " ".join(texts), scores.total, words, first, captioner.name, names)


def caption_words(vocabulary: Words, caption: str) -> list[str]:
    """Split a caption into words as a captioner's vocabulary does.

    Raises:
        UserError: there is no word in it.
    """
    words = vocabulary.tokenize(caption)
    if not words:
        raise UserError(f"the caption {caption!r} has no words; give at least one word to explain")
    if len(words) > MOST_WORDS:
        raise UserError(f"the caption has {len(words)} words; at most {MOST_WORDS} can be explained at once")
    return words


def word_evidence(
    captioner: CaptionGenerator,
    image: np.ndarray,
    word_ids: Sequence[int],
    positions: Sequence[int] | None = None,
    method: str = "evidence",
    **options: Any,
) -> list[Fixations]:
    """Trace words of a caption to their evidence, in pixels of the model's input.

    Args:
        captioner: the caption generator.
        image: float32 ``[size, size, 3]``, RGB, 0 to 255.
        word_ids: the caption without start and end.
        positions: which words to explain; by default all.
        method, options: as for :func:`ground`.
    """
    positions = range(len(word_ids)) if positions is None else positions
    return WordTracer(captioner, image, method, options).explain(word_ids, positions).fixations


def preceding_contributions(
    captioner: CaptionGenerator, image: np.ndarray, captions: Iterable[Sequence[int]]
) -> list[np.ndarray]:
    """Compute the exact contributions of each word of a caption to the logits of later words.

    Args:
        image: float32 ``[size, size, 3]``, RGB, 0 to 255.
        captions: ids without start and end.

    Returns:
        float64 ``[n, n]`` per caption of n words: row j, column k < j is the contribution of word k to word
        j.
    """
    session = WordTracer(captioner, image, "evidence", {})
    found = [session.explain(ids, range(len(ids))).contributions for ids in captions]
    return [values for values in found if values is not None]


def compared(methods: Sequence[str]) -> tuple[str, ...]:
    """The methods, as :func:`ground` compares them.

    Raises:
        UserError: a method is unknown or given twice.
    """
    check_methods(methods)
    return tuple(methods)


def _session(
    captioner: CaptionGenerator, photo: Photo, small: Preprocessed, first: str, options: dict[str, Any]
) -> WordTracer:
    """The tracer of a photo's words."""
    height, width = small.pixels.shape[:2]
    closer = squeeze(photo, (2 * height, 2 * width)).pixels if options.get("looks") == 2 else None
    return WordTracer(captioner, small.pixels, first, options, closer)


def _explained(
    captioner: CaptionGenerator,
    session: WordTracer | None,
    methods: Iterable[str],
    small: Preprocessed,
    ids: list[int],
) -> tuple[dict[str, list[Explanation]], np.ndarray]:
    """The explanations of each method, word by word, and the contributions of earlier words, ``[n, n]``. The
    contributions are zero if no method has an exact head.
    """
    found, exact = {}, np.zeros((len(ids), len(ids)))
    for name in methods:
        if session is not None and is_traced(name):
            traced = session.using(name).explain(ids, range(len(ids)))
            exact = exact if traced.contributions is None else traced.contributions
            found[name] = _on_photo(name, traced.fixations, small)
        else:
            maps = explained_words(name, captioner, small.pixels, ids)
            found[name] = _maps_on_photo(name, maps, small)
    return found, exact


def _on_photo(method: str, found: Iterable[Fixations], small: Preprocessed) -> list[Explanation]:
    return [
        Explanation(method, fixations.mapped(small.to_photo, small.photo_shape), on_input=fixations)
        for fixations in found
    ]


def _maps_on_photo(method: str, maps: Iterable[np.ndarray], small: Preprocessed) -> list[Explanation]:
    whole, frame = (0, 0, *small.photo_shape), (0, 0, *small.pixels.shape[:2])
    prepared = ModelInput(small.pixels, small.photo_shape, whole, frame)
    return [Explanation(method, None, on_photo(heat, prepared, MAP_LONGEST)) for heat in maps]


def _before(values: np.ndarray, j: int) -> tuple[float, ...]:
    return tuple(float(x) for x in values[j, :j])


class _Scores:
    """Log-probabilities of a caption's words given the photo, and given the mean picture."""

    def __init__(
        self, captioner: CaptionGenerator, features: np.ndarray, ids: list[int], generated: bool
    ) -> None:
        self.vocabulary, self.ids = captioner.vocabulary, ids
        scored = ScoredCaption.of(captioner, features, ids)
        self.photo, self.mean = scored.photo, scored.mean
        self.supports = scored.supports() if generated else [None] * len(ids)
        said = [*ids, self.vocabulary.end] if self.vocabulary.end != NO_WORD else ids
        self.total = float(self.photo[np.arange(len(said)), said].sum())

    def word(self, j: int, text: str, **explained: Any) -> GroundedWord:
        """Word ``j`` with its scores and its explanations."""
        logprob, language, visual, share = _exact(self.photo[j, self.ids[j]]), None, None, None
        if self.mean is not None:
            language = _exact(self.mean[j, self.ids[j]])
            visual = logprob - language
            share = max(0.0, 1 - float(np.exp(-visual)))
        known = self.ids[j] != self.vocabulary.unknown
        found = {"runners_up": self._runners_up(j), "support": self.supports[j], **explained}
        return GroundedWord(text, known, logprob, visual, language, share, **found)

    def _runners_up(self, j: int) -> tuple[tuple[str, float], ...]:
        hidden = {self.ids[j], self.vocabulary.start, self.vocabulary.unknown}
        order = np.argsort(-self.photo[j])
        names = self.vocabulary.words
        said = (int(i) for i in order if int(i) not in hidden and names[i])
        return tuple((names[i], float(np.exp(self.photo[j, i]))) for i in islice(said, RUNNERS_UP))


def _exact(logprob: float) -> float:
    # On a grid of 2^-30 nats differences and sums have no rounding error: logprob == visual + language holds.
    return float(np.ldexp(np.rint(np.ldexp(logprob, 30)), -30))
