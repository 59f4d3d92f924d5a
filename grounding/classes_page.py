"""The page of a traced photo: targets to choose from, and the methods side by side on the one photo."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazeback.grounding.atomic import write_atomically
from gazeback.grounding.classes_text import facts, short, synonyms, value_text, verdict
from gazeback.grounding.index import IndexEntry, index_html
from gazeback.grounding.looks import look_of
from gazeback.grounding.page_data import explanation_data
from gazeback.grounding.report import PHOTO_LONGEST, bar_width, jpeg_uri, render

if TYPE_CHECKING:
    from gazeback.grounding.classes import Explanation, Target, TracedPhoto

THUMBNAIL = 320  # pixels of a photo on the index page, longer side


def write_traced_page(traced: TracedPhoto, path: str | os.PathLike[str]) -> Path:
    """Write `traced_html` to ``path`` as UTF-8; returns the path. Raises `OSError`."""
    return write_atomically(path, traced_html(traced).encode("utf-8", errors="replace"))


def traced_html(traced: TracedPhoto) -> str:
    """The whole page: photo, targets, evidence, style and script in one file that needs no network."""
    photo = traced.photo
    return render(
        "classes.html.j2",
        styles=("base.css", "stage.css", "classes.css"),
        scripts=("shared.js", "overlay.js", "classes.js"),
        traced=traced,
        photo_uri=jpeg_uri(photo, PHOTO_LONGEST),
        ratio=photo.width / photo.height,
        drawing=look_of(photo).blend != "normal",
        targets=[
            (short(target.name), synonyms(target.name), value_text(target), width)
            for target, width in zip(traced.targets, _bars(traced.targets), strict=True)
        ],
        payload=traced_data(traced),
    )


def traced_data(traced: TracedPhoto) -> dict[str, Any]:
    """What the page's script draws; a target's ``evidence`` has one entry per method, as ``methods`` has.

    All coordinates are in photo pixels; each heat map covers the whole photo.
    """
    photo, look = traced.photo, look_of(traced.photo)
    return {
        "width": photo.width,
        "height": photo.height,
        "heat": look.stops,
        "blend": look.blend,
        "methods": list(traced.methods),
        "targets": [
            {
                "text": short(target.name),
                "verdict": verdict(target, traced.model_name),
                "evidence": [_evidence(one, (photo.height, photo.width)) for one in target.explanations],
            }
            for target in traced.targets
        ],
    }


def index_entry(traced: TracedPhoto, page: str) -> IndexEntry:
    """A traced photo on the index page; ``page``: the path of its page, relative to the index."""
    words = [{"text": short(one.name), "visual_share": one.probability} for one in traced.predictions]
    caption = ", ".join(one.name for one in traced.predictions)
    result = {"photo": traced.photo.name, "caption": caption, "words": words}
    return IndexEntry(result, page, jpeg_uri(traced.photo, THUMBNAIL))


def write_index(entries: Sequence[IndexEntry], path: str | os.PathLike[str]) -> Path:
    """Write the index page of several traced photos; returns the path. Raises `OSError`."""
    page = index_html(
        entries,
        "Traced photos",
        hint="The most probable classes, each with its probability. Grey italics: below 10 %.",
        filter_label="Words in the classes",
    )
    return write_atomically(path, page.encode("utf-8", errors="replace"))


def _evidence(explanation: Explanation, shape: tuple[int, int]) -> dict[str, Any]:
    drawn = explanation_data(explanation, explanation.box(shape))
    return {**drawn, "facts": facts(explanation, shape)}


def _bars(targets: Sequence[Target]) -> list[str]:
    """How long each target's bar is: a class's probability; an activation beside the largest one shown."""
    if targets[0].layer is None:
        return [bar_width(target.value) for target in targets]
    values = [max(target.value, 0.0) if math.isfinite(target.value) else 0.0 for target in targets]
    return [bar_width(value / max(*values, 1e-12)) for value in values]
