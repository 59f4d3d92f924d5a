"""What a page's script draws: a JSON-ready object, small enough to travel inside the page."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gazeback.grounding.evidence_map import HEAT_STOPS, strongest_first
from gazeback.grounding.verdict import is_language_habit, verdict

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.explanation import Explanation
    from gazeback.grounding.words import GroundedWord, Grounding

Polygon = Sequence[Sequence[float]]
Outlines = Mapping[int, Sequence[Polygon]]

MAP_LONGEST = 112  # pixels of a word's heat map on the page; the browser smooths it
PRECEDING = {
    "removal": "left out",
    "gradient": "gradient",
}  # measures of the words before, as a reader sees them


def page_data(grounding: Grounding, outlines: Outlines) -> dict[str, Any]:
    """Photo size, colours and words; a word's ``evidence`` has one entry per method, as ``methods`` has.

    All coordinates are in photo pixels; each heat map covers the whole photo.
    """
    return {
        "width": grounding.photo.width,
        "height": grounding.photo.height,
        "heat": HEAT_STOPS,
        "methods": list(grounding.methods),
        "words": [
            _word(word, index, grounding, outlines.get(index, ()))
            for index, word in enumerate(grounding.words)
        ],
    }


def _word(
    word: GroundedWord, index: int, grounding: Grounding, polygons: Sequence[Polygon]
) -> dict[str, Any]:
    shape = (grounding.photo.height, grounding.photo.width)
    return {
        "text": word.text,
        "known": bool(word.known),
        "verdict": verdict(word, first=index == 0),
        "habit": is_language_habit(word),
        "logprob": _finite(word.logprob),
        "visual": _finite(word.visual),
        "language": _finite(word.language),
        "preceding": _relevances(word.preceding),
        "precedingBy": [
            [PRECEDING.get(name, name), _relevances(values)] for name, values in word.preceding_by.items()
        ],
        "runnersUp": [[text, _finite(probability)] for text, probability in word.runners_up],
        "outlines": [[[round(float(x), 1), round(float(y), 1)] for x, y in polygon] for polygon in polygons],
        "evidence": [
            explanation_data(one, one.region(shape)) for one in word.explanations(grounding.methods)
        ],
    }


def ranked_points(fixations: Fixations) -> list[list[float]]:
    """``[row, column, weight]``, the strongest first with weight 1: any share of the evidence is a prefix.

    Of very many points, only the first that `strongest_first` gives.
    """
    order = strongest_first(fixations)
    weights = np.maximum(np.asarray(fixations.weights, float), 0)[order]
    strongest = max(float(weights.max(initial=0)), np.finfo(float).tiny)
    return [
        [int(row), int(column), round(float(weight / strongest), 3)]
        for (row, column), weight in zip(fixations.points[order], weights, strict=True)
    ]


def explanation_data(explanation: Explanation, box: Sequence[float] | None) -> dict[str, Any]:
    """What the page's `Overlay` draws of one method's answer, with a box ``[x, y, width, height]``."""
    small = explanation.heat(MAP_LONGEST)
    points = [] if explanation.fixations is None else ranked_points(explanation.fixations)
    return {
        "map": base64.b64encode(small.tobytes()).decode(),
        "rows": small.shape[0],
        "columns": small.shape[1],
        "points": points,
        "box": None if box is None else [round(float(side), 1) for side in box],
        "mapOnly": explanation.fixations is None,
    }


def _relevances(values: Sequence[float]) -> list[float]:
    return [_finite(value) or 0.0 for value in values]


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
