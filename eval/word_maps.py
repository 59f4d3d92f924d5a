"""The compared methods: one map per word of a caption, all on the model's input pixels.

A method is built once per captioner and then answers questions. `METHODS` is the table of their names.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gazeback.eval.grad_cam import GradCam
from gazeback.grounding.words import word_evidence
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError


@dataclass(frozen=True)
class Question:
    """Which pixels did the words at `positions` come from?

    `image` float32 [size, size, 3] in 0..255; `features` float32 [h, w, C], its last map; `word_ids` the
    whole caption without start and end; `positions` count its words from 0.
    """

    image: np.ndarray
    features: np.ndarray
    word_ids: list[int]
    positions: list[int]


Method = Callable[[Question], np.ndarray]
"""Answers float [n, size, size], nowhere negative, one map per position."""


def check_methods(names: str) -> list[str]:
    """The names of methods between commas, each once; raises UserError for an unknown one."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in METHODS]
    if unknown or not chosen:
        problem = f"unknown method {unknown[0]!r}" if unknown else "no method named"
        raise UserError(f"{problem}; there are {', '.join(METHODS)}")
    return chosen


def check_traced(name: str) -> None:
    """Raises UserError unless the tracer has a method of that name."""
    if name not in TRACED:
        raise UserError(f"unknown method {name!r}; the tracer has {', '.join(TRACED)}")


def build_method(name: str, captioner: Captioner) -> Method:
    """The method of that name, ready for questions to this captioner."""
    return METHODS[name](captioner)


def _traced(name: str) -> Callable[[Captioner], Method]:
    """Our own tracer: the heat map of the points of a word."""

    def build(captioner: Captioner) -> Method:
        def answer(question: Question) -> np.ndarray:
            fixations = word_evidence(
                captioner, question.image, question.word_ids, positions=question.positions, method=name
            )
            return np.stack([fixation.heatmap() for fixation in fixations])

        return answer

    return build


def _center(captioner: Captioner) -> Method:
    """Points at the centre and knows nothing more: the map is even, so its energy in a box is the share of
    area."""

    def answer(question: Question) -> np.ndarray:
        height, width = question.image.shape[:2]
        even = np.ones((height, width), np.float32)
        even[height // 2, width // 2] += 1e-3  # the maximum, and too little to matter for the energy
        return np.repeat(even[None], len(question.positions), axis=0)

    return answer


def _activation(captioner: Captioner) -> Method:
    """The channel sum of the encoder's last map: what is conspicuous, whatever the word."""

    def answer(question: Question) -> np.ndarray:
        total = np.maximum(question.features.sum(axis=-1), 0)
        return np.repeat(enlarged(total[None], *question.image.shape[:2]), len(question.positions), axis=0)

    return answer


def _grad_cam(captioner: Captioner) -> Method:
    grad_cam = GradCam(captioner)

    def answer(question: Question) -> np.ndarray:
        maps = grad_cam(question.features, question.word_ids, question.positions)
        return enlarged(maps, *question.image.shape[:2])

    return answer


TRACED = ("evidence", "fixations")

METHODS: dict[str, Callable[[Captioner], Method]] = {
    **{name: _traced(name) for name in TRACED},
    "center": _center,
    "activation": _activation,
    "grad-cam": _grad_cam,
}


def enlarged(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear enlargement of maps [n, h, w] to [n, height, width], pixel centres aligned, edges repeated."""
    rows, columns = _bilinear(maps.shape[1], height), _bilinear(maps.shape[2], width)
    return np.einsum("yh,nhw,xw->nyx", rows, maps, columns, optimize=True)


def _bilinear(old: int, new: int) -> np.ndarray:
    """The weights float32 [new, old] of linear interpolation."""
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(1 - np.abs(centres[:, None] - np.arange(old)), 0).astype(np.float32)
