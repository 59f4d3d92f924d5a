"""The result of one photo as JSON: for programs, where the page and the figure are for people."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazeback.cnn_trace.fixations import REGION
from gazeback.grounding.atomic import write_atomically

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.words import GroundedWord, Grounding


def grounding_to_json(grounding: Grounding) -> dict[str, Any]:
    """One JSON-ready object per photo; every coordinate is in pixels of the upright photo.

    Keys: ``photo`` (name), ``width``, ``height``, ``caption``, ``logprob`` (nats), ``method``, ``model`` and
    ``words``. Each word: ``text``, ``known``, ``logprob``, ``visual``, ``language`` (nats), ``visual_share``
    (0..1), ``preceding`` (signed relevance of each earlier word), ``runners_up`` (``[word, probability]``),
    ``points`` (``[row, column, weight]``) and ``box`` (``[x, y, width, height]``, ``None`` without points).
    A number that is not finite becomes ``None``, as JSON has no name for it.
    """
    return {
        "photo": grounding.photo.name,
        "width": int(grounding.photo.width),
        "height": int(grounding.photo.height),
        "caption": grounding.caption,
        "logprob": number(grounding.logprob),
        "method": grounding.method,
        "model": grounding.model_name,
        "words": [_word_to_json(word) for word in grounding.words],
    }


def write_json(grounding: Grounding, path: str | os.PathLike[str]) -> Path:
    """Write `grounding_to_json` to ``path`` as UTF-8; returns the path. Raises `OSError`."""
    text = json.dumps(grounding_to_json(grounding), ensure_ascii=False, allow_nan=False)
    # a file name may hold bytes that are no text; they must not stop the result from being written
    return write_atomically(path, text.encode("utf-8", errors="replace"))


def _word_to_json(word: GroundedWord) -> dict[str, Any]:
    box = word.fixations.box(REGION)
    return {
        "text": word.text,
        "known": bool(word.known),
        "logprob": number(word.logprob),
        "visual": number(word.visual),
        "language": number(word.language),
        "visual_share": number(word.visual_share),
        "preceding": [number(relevance) for relevance in word.preceding],
        "runners_up": [[text, number(probability)] for text, probability in word.runners_up],
        "points": points_to_json(word.fixations),
        "box": None if box is None else [number(side) for side in box],
    }


def points_to_json(fixations: Fixations) -> list[list[float | None]]:
    """``[row, column, weight]`` of each point."""
    return [
        [int(row), int(column), number(weight)]
        for (row, column), weight in zip(fixations.points, fixations.weights, strict=True)
    ]


def number(value: float) -> float | None:
    """Six significant digits: float32 carries seven, and points make up most of the file."""
    return float(f"{float(value):.6g}") if math.isfinite(value) else None
