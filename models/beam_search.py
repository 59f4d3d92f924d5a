"""Beam search for the most probable complete captions, all photos at once.

A hypothesis is complete when it has its end token. Only complete hypotheses are returned. Each step takes the
best ``beam`` extensions *by a word*, and separately completes every hypothesis of the beam. So an end token
never displaces a good word, and a word never displaces an end token. (The search of im2txt lost the best
words because it sorted partial and complete hypotheses into one heap.) With a beam as wide as the number of
possible prefixes the search is exhaustive.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from gazeback.models.language_half import LanguageHalf, State


@dataclass(frozen=True)
class Hypothesis:
    """A complete caption: word numbers without start and end, log-probabilities with the end's as the
    last.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float

    @property
    def logprob(self) -> float:
        """Log-probability of the whole caption, with its end, in nats."""
        return float(np.sum(self.logprobs))


@dataclass
class _Beams:
    """The partial captions of all photos: ``[photos, width]`` rows, best first. ``total`` is -inf for a
    dead row.
    """

    ids: np.ndarray  # [photos, width, length]
    logprobs: np.ndarray  # [photos, width, length]
    total: np.ndarray  # [photos, width]
    state: State  # arrays whose first axis is photos * width


def beam_search(
    steps: LanguageHalf,
    features: np.ndarray,
    *,
    start: int,
    end: int,
    forbidden: Sequence[int] = (),
    once: Sequence[int] = (),
    beam: int = 3,
    length_normalisation: float = 0.0,
    max_words: int = 20,
) -> list[list[Hypothesis]]:
    """Return up to ``beam`` complete captions per photo, best score first.

    ``features``: ``[n, h, w, C]`` or ``[n, C]``. ``forbidden`` words (the unknown word) are never generated,
    nor is the start token; a word of ``once`` is generated at most once in a caption. The score is
    log-probability ÷ length**``length_normalisation``; the length includes the end token. A
    ``length_normalisation`` of 0 switches it off, and 1 gives the mean per word. A caption ends when it has
    ``max_words`` words. A number below 0 is no word: without an end token every caption has ``max_words``
    words.
    """
    if beam < 1 or max_words < 1:
        raise ValueError(f"beam and max_words are at least 1; got beam={beam}, max_words={max_words}")
    photos = len(features)
    complete: list[list[Hypothesis]] = [[] for _ in range(photos)]
    if photos == 0:
        return complete
    beams = _first(steps.start(features), photos)
    words = np.full(photos, start)
    unsaid = [word for word in (start, end, *forbidden) if word >= 0]
    for length in range(max_words + 1):
        log_p, beams.state = steps.step(beams.state, words)
        log_p = np.array(log_p, np.float64).reshape(*beams.total.shape, -1)
        if end >= 0:
            _complete(beams, log_p[:, :, end], complete, beam, length_normalisation)
        elif length == max_words:
            _complete(beams, np.zeros(beams.total.shape), complete, beam, length_normalisation)
        if length == max_words or not _can_improve(beams, complete, beam, length_normalisation, max_words):
            break
        log_p[:, :, unsaid] = -np.inf
        again = np.nonzero(np.isin(beams.ids, once))
        log_p[again[0], again[1], beams.ids[again]] = -np.inf
        beams = _extend(beams, log_p, beam)
        words = beams.ids[:, :, -1].ravel()
    return complete


def _first(state: State, photos: int) -> _Beams:
    nothing = np.zeros((photos, 1, 0))
    return _Beams(nothing.astype(np.int64), nothing, np.zeros((photos, 1)), state)


def _complete(
    beams: _Beams, log_end: np.ndarray, complete: list[list[Hypothesis]], beam: int, normalisation: float
) -> None:
    """Complete every live row, and keep each photo's best ``beam`` complete captions."""
    length = beams.ids.shape[2] + 1
    scores = (beams.total + log_end) / length**normalisation
    for photo, found in enumerate(complete):
        worst = found[-1].score if len(found) == beam else -np.inf
        for row in np.flatnonzero(scores[photo] > worst):
            logprobs = (*beams.logprobs[photo, row], log_end[photo, row])
            found.append(
                Hypothesis(
                    tuple(beams.ids[photo, row].tolist()),
                    tuple(map(float, logprobs)),
                    float(scores[photo, row]),
                )
            )
        found.sort(key=lambda hypothesis: -hypothesis.score)
        del found[beam:]


def _can_improve(
    beams: _Beams, complete: list[list[Hypothesis]], beam: int, normalisation: float, max_words: int
) -> bool:
    """Whether a partial caption may still beat a complete one; its log-probability can only decrease."""
    best = beams.total.max(axis=1) / (max_words + 1.0) ** normalisation
    worst = [found[-1].score if len(found) == beam else -np.inf for found in complete]
    return bool(np.any(best > worst))


def _extend(beams: _Beams, log_p: np.ndarray, beam: int) -> _Beams:
    """The best ``beam`` extensions of each photo's rows by one word."""
    photos, width, vocabulary = log_p.shape
    totals = (beams.total[:, :, None] + log_p).reshape(photos, -1)
    keep = min(beam, totals.shape[1])
    candidates = np.argpartition(-totals, keep - 1, axis=1)[:, :keep]
    order = np.argsort(-np.take_along_axis(totals, candidates, 1), axis=1, kind="stable")
    chosen = np.take_along_axis(candidates, order, 1)
    rows, words = np.divmod(chosen, vocabulary)
    photo = np.arange(photos)[:, None]
    flat = (photo * width + rows).ravel()
    return _Beams(
        ids=np.concatenate([beams.ids[photo, rows], words[:, :, None]], axis=2),
        logprobs=np.concatenate([beams.logprobs[photo, rows], log_p[photo, rows, words][:, :, None]], axis=2),
        total=np.take_along_axis(totals, chosen, 1),
        state=tuple(array[flat] for array in beams.state),
    )


def greedy_search(
    steps: LanguageHalf, features: np.ndarray, *, start: int, ends: Collection[int], max_words: int
) -> list[Hypothesis]:
    """Return the caption of each photo that has the most probable word at every step, whatever it is.

    A caption is complete where the most probable word is one of ``ends`` (the end token, and numbers that
    stand for no word), or at ``max_words`` words. Its score is its log-probability.
    """
    state, words = steps.start(features), np.full(len(features), start)
    ids: list[list[int]] = [[] for _ in features]
    logprobs: list[list[float]] = [[] for _ in features]
    open_rows = np.ones(len(features), bool)
    for _ in range(max_words):
        log_p, state = steps.step(state, words)
        words = log_p.argmax(axis=1)
        for row in np.flatnonzero(open_rows):
            logprobs[row].append(float(log_p[row, words[row]]))
            open_rows[row] = int(words[row]) not in ends
            if open_rows[row]:
                ids[row].append(int(words[row]))
        if not open_rows.any():
            break
    pairs = zip(ids, logprobs, strict=True)
    return [Hypothesis(tuple(one), tuple(of), float(np.sum(of))) for one, of in pairs]
