"""Groundings made by hand: the same fields as `ground` returns, no model needed."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from gazeback.cnn_trace.fixations import Fixations


def make_fixations(shape: tuple[int, int], centre: tuple[float, float] | None, count: int = 60) -> Fixations:
    """Points scattered round ``centre`` (shares of height and width), heavier towards it; None: no points."""
    if centre is None:
        return Fixations(np.zeros((0, 2), np.int64), np.zeros(0), shape)
    generator = np.random.default_rng(7)
    offsets = generator.normal(0, 0.06, (count, 2))
    points = np.rint((offsets + centre) * shape).astype(np.int64)
    points, kept = np.unique(np.clip(points, 0, np.subtract(shape, 1)), axis=0, return_index=True)
    weights = np.exp(-(offsets[kept] ** 2).sum(axis=1) / 0.01)
    return Fixations(points, weights / weights.sum(), shape)


def make_word(
    text: str,
    fixations: Fixations,
    index: int,
    visual: float = 1.2,
    language: float = -2.5,
    known: bool = True,
) -> SimpleNamespace:
    """Relevances of the words before alternate in sign and grow with the position."""
    return SimpleNamespace(
        text=text,
        known=known,
        logprob=visual + language,
        visual=visual,
        language=language,
        visual_share=max(0.0, 1 - math.exp(-visual)),
        preceding=tuple((-1) ** step * 0.2 * (step + 1) for step in range(index)),
        runners_up=(("cat", 0.12), ("horse", 0.05)),
        fixations=fixations,
    )


@pytest.fixture
def make_grounding() -> Callable[..., SimpleNamespace]:
    """A function that makes a grounding of any words on a photo of any (height, width)."""

    def make(
        texts: Sequence[str] = ("a", "brown", "dog"),
        shape: tuple[int, int] = (60, 90),
        name: str = "dog.jpg",
        unknown: Sequence[str] = (),
        empty: Sequence[str] = (),
    ) -> SimpleNamespace:
        rows, columns = np.indices(shape)
        pixels = np.stack([rows * 255 // shape[0], columns * 255 // shape[1], 0 * rows + 90], axis=-1)
        words = []
        for index, text in enumerate(texts):
            centre = (0.3 + 0.4 * (index % 2), (index + 0.5) / len(texts))
            fixations = make_fixations(shape, None if text in empty else centre)
            visual = -0.05 if text in ("a", "of", "the") else 1.2
            words.append(make_word(text, fixations, index, visual, known=text not in unknown))
        photo = SimpleNamespace(
            pixels=pixels.astype(np.uint8), name=name, path=None, width=shape[1], height=shape[0]
        )
        return SimpleNamespace(
            photo=photo,
            caption=" ".join(texts),
            logprob=sum(word.logprob for word in words) - 0.2,
            words=tuple(words),
            method="evidence",
            model_name="a captioner",
        )

    return make
