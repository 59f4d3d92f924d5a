"""A traced photo as JSON: for programs, where the page and the figure are for people."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazeback.grounding.atomic import write_atomically
from gazeback.grounding.results import explanation_to_json, number

if TYPE_CHECKING:
    from gazeback.grounding.classes import Target, TracedPhoto


def traced_to_json(traced: TracedPhoto) -> dict[str, Any]:
    """One JSON-ready object per photo; every coordinate is in pixels of the upright photo.

    Keys: ``photo`` (name), ``width``, ``height``, ``model``, ``predictions`` (``class``, ``index``,
    ``probability``, best first) and ``targets``. A target is a class (the same three keys) or a neuron
    (``layer``, ``neuron``: its coordinates, ``activation``), with ``methods``: name -> ``points`` (``[row,
    column, weight]``) and ``box`` (``[x, y, width, height]``, ``None`` where nothing was found). A method
    without points has a ``map``: rows of numbers from 0 to 1 over the whole photo.
    """
    shape = (traced.photo.height, traced.photo.width)
    return {
        "photo": traced.photo.name,
        "width": int(traced.photo.width),
        "height": int(traced.photo.height),
        "model": traced.model_name,
        "predictions": [
            {"class": one.name, "index": one.index, "probability": number(one.probability)}
            for one in traced.predictions
        ],
        "targets": [
            {
                **_target(target),
                "methods": {
                    one.method: explanation_to_json(one, one.box(shape)) for one in target.explanations
                },
            }
            for target in traced.targets
        ],
    }


def write_traced_json(traced: TracedPhoto, path: str | os.PathLike[str]) -> Path:
    """Write `traced_to_json` to ``path`` as UTF-8; returns the path. Raises `OSError`."""
    text = json.dumps(traced_to_json(traced), ensure_ascii=False, allow_nan=False)
    return write_atomically(path, text.encode("utf-8", errors="replace"))


def _target(target: Target) -> dict[str, Any]:
    if target.layer is None:
        return {"class": target.name, "index": target.neuron[0], "probability": number(target.value)}
    return {"layer": target.layer, "neuron": list(target.neuron), "activation": number(target.value)}
