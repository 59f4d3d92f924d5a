"""Write the result of one photo as JSON, for programs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazeback.models.writing import json_text, write_atomically

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.captions import GroundedWord, Grounding
    from gazeback.grounding.classes import Prediction, Target, TracedPhoto
    from gazeback.grounding.explanation import Explanation


def to_json(explained: Grounding | TracedPhoto) -> dict[str, Any]:
    """Convert the result of a photo to a JSON-ready object; every coordinate is in pixels of the upright
    photo.

    Keys: ``photo`` (name), ``width``, ``height``, and those of its kind: :func:`grounding_fields` or
    :func:`traced_fields`. A number that is not finite becomes ``None``, because JSON cannot represent it.
    """
    photo = explained.photo
    size = {"width": int(photo.width), "height": int(photo.height)}
    return {"photo": photo.name, **size, **_FIELDS[explained.kind](explained)}


def write_json(explained: Grounding | TracedPhoto, path: str | os.PathLike[str]) -> Path:
    """Write `to_json` to ``path`` as UTF-8; returns the path. Raises `OSError`."""
    text = json_text(to_json(explained))
    # a file name may have bytes that are not text, which must not stop the writing
    return write_atomically(path, text.encode("utf-8", errors="replace"))


def traced_fields(traced: TracedPhoto) -> dict[str, Any]:
    """The keys of a classifier's answers.

    ``model``, ``predictions`` (``class``, ``index``, ``probability``, best first) and ``targets``. A
    regression has a ``value`` instead of the ``probability``. A target is a class (the same three keys) or a
    neuron (``layer``, ``neuron``: its coordinates, ``activation``), with ``methods``: name -> ``points``
    (``[row, column, weight]``) and ``box`` (``[x, y, width, height]``, ``None`` if nothing was found). A
    method without points has a ``map``: rows of numbers from 0 to 1 over the whole photo.
    """
    shape = (traced.photo.height, traced.photo.width)
    return {"model": traced.model_name, **answers_to_json(traced.predictions, traced.targets, shape)}


def answers_to_json(
    predictions: Sequence[Prediction], targets: Sequence[Target], shape: tuple[int, ...]
) -> dict[str, Any]:
    """The ``predictions`` and ``targets`` of :func:`traced_fields`; ``shape``: of the photo or array, without
    the channels."""
    return {
        "predictions": [
            {"class": one.name, "index": one.index, one.measure: number(one.value)} for one in predictions
        ],
        "targets": [
            {
                **_target(target),
                "methods": {
                    one.method: explanation_to_json(one, one.box(shape)) for one in target.explanations
                },
            }
            for target in targets
        ],
    }


def _target(target: Target) -> dict[str, Any]:
    if target.layer is None:
        return {"class": target.name, "index": target.neuron[0], target.measure: number(target.value)}
    return {"layer": target.layer, "neuron": list(target.neuron), "activation": number(target.value)}


MAP_LONGEST = 56  # cells along the longer side of a stored heat map


def grounding_fields(grounding: Grounding) -> dict[str, Any]:
    """The keys of a caption.

    ``caption``, ``logprob`` (nats), ``method``, ``model`` and ``words``. Each word: ``text``, ``known``,
    ``logprob``, ``visual``, ``language`` (nats), ``visual_share`` (0..1), ``support`` (the probability that
    it is true, ``None`` if unknown), ``preceding`` (signed relevance of each earlier word), ``runners_up``
    (``[word, probability]``), ``points`` (``[row, column, weight]``) and ``box`` (``[x, y, width, height]``,
    ``None`` without points). With several methods, also ``methods``: name -> :func:`explanation_to_json`.
    With ``preceding=True``, also ``preceding_by``: name -> another measure of each earlier word.
    """
    return {
        "caption": grounding.caption,
        "logprob": number(grounding.logprob),
        "method": grounding.method,
        "model": grounding.model_name,
        "words": [_word_to_json(word, grounding) for word in grounding.words],
    }


_FIELDS: dict[str, Callable[[Any], dict[str, Any]]] = {"words": grounding_fields, "classes": traced_fields}


def _word_to_json(word: GroundedWord, grounding: Grounding) -> dict[str, Any]:
    shape = (grounding.photo.height, grounding.photo.width)
    (shown,) = word.explanations([grounding.method])
    found = {
        "text": word.text,
        "known": bool(word.known),
        "logprob": number(word.logprob),
        "visual": number(word.visual),
        "language": number(word.language),
        "visual_share": number(word.visual_share),
        "support": number(word.support),
        "preceding": [number(relevance) for relevance in word.preceding],
        "runners_up": [[text, number(probability)] for text, probability in word.runners_up],
        **explanation_to_json(shown, shown.region(shape)),
    }
    if len(grounding.methods) > 1:
        found["methods"] = {
            one.method: explanation_to_json(one, one.region(shape))
            for one in word.explanations(grounding.methods)
        }
    if word.preceding_by:
        found["preceding_by"] = {
            name: [number(value) for value in values] for name, values in word.preceding_by.items()
        }
    return found


def explanation_to_json(explanation: Explanation, box: Sequence[float] | None) -> dict[str, Any]:
    """The ``points`` and ``box`` of an explanation; a method without points has a ``map``: rows of numbers
    from 0 to 1 over the whole photo.
    """
    found: dict[str, Any] = {
        "points": [] if explanation.fixations is None else points_to_json(explanation.fixations),
        "box": None if box is None else [number(side) for side in box],
    }
    if explanation.fixations is None:
        found["map"] = (explanation.heat(MAP_LONGEST) / 255).round(3).tolist()
    return found


def points_to_json(fixations: Fixations) -> list[list[float | None]]:
    """The ``[row, column, weight]`` of each point; of an array, its coordinates and its weight."""
    return [
        [*map(int, point), number(weight)]
        for point, weight in zip(fixations.points, fixations.weights, strict=True)
    ]


def number(value: float | None) -> float | None:
    """Round to six significant digits: float32 has seven, and points are most of the file."""
    return float(f"{float(value):.6g}") if value is not None and math.isfinite(value) else None
