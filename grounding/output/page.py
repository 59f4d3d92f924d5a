"""Write the page: one self-contained HTML file that shows the evidence of each word of a caption."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from gazeback.grounding.explanation import Outlines, Polygon
from gazeback.grounding.output.colours import HEAT_STOPS, fitted, look_of, strongest_first
from gazeback.grounding.output.text import (
    facts,
    is_doubtful,
    is_language_habit,
    percent,
    short,
    synonyms,
    target_verdict,
    truth,
    value_text,
    verdict,
)
from gazeback.models.writing import write_atomically

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.captions import GroundedWord, Grounding
    from gazeback.grounding.classes import Target, TracedPhoto
    from gazeback.grounding.explanation import Explanation
    from gazeback.models.photos import Photo


def write_page(
    explained: Grounding | TracedPhoto, path: str | os.PathLike[str], outlines: Outlines | None = None
) -> Path:
    """Write `page_html` to ``path`` as UTF-8; returns the path. Raises `OSError`."""
    return write_atomically(path, page_html(explained, outlines).encode("utf-8", errors="replace"))


def page_html(explained: Grounding | TracedPhoto, outlines: Outlines | None = None) -> str:
    """Build the whole page: photo, answers, evidence, style and script in one file that needs no network.

    Args:
        outlines: for an answer's index, polygons ``[[x, y], ...]`` in photo pixels, drawn over its evidence
            (instances of the category that a word names).
    """
    photo = explained.photo
    if explained.kind == "words":
        name, scripts, fields = "page", ["details.js", "page.js"], _words_on_page(explained)
    else:
        name, scripts, fields = "classes", ["classes.js"], _classes_on_page(explained)
    return render(
        f"{name}.html.j2",
        styles=("base.css", "stage.css", f"{name}.css"),
        scripts=("shared.js", "overlay.js", *scripts),
        photo_uri=jpeg_uri(photo, PHOTO_LONGEST),
        ratio=photo.width / photo.height,
        payload=page_data(explained, outlines),
        **fields,
    )


def page_data(explained: Grounding | TracedPhoto, outlines: Outlines | None = None) -> dict[str, Any]:
    """The data of the page's script; the ``evidence`` of an answer has one entry per method, in the order of
    ``methods``.

    All coordinates are in photo pixels; each heat map covers the whole photo.
    """
    photo = explained.photo
    shared = {"width": photo.width, "height": photo.height, "methods": list(explained.methods)}
    if explained.kind == "words":
        return shared | _words_data(explained, outlines or {})
    return shared | _classes_data(explained)


def _classes_on_page(traced: TracedPhoto) -> dict[str, Any]:
    """The text of the page of a classifier's answers."""
    return {
        "traced": traced,
        "drawing": look_of(traced.photo).blend != "normal",
        "targets": [
            (short(target.name), synonyms(target.name), value_text(target), width)
            for target, width in zip(traced.targets, _bars(traced.targets), strict=True)
        ],
    }


def _classes_data(traced: TracedPhoto) -> dict[str, Any]:
    photo, look = traced.photo, look_of(traced.photo)
    return {
        "heat": look.stops,
        "blend": look.blend,
        "targets": [
            {
                "text": short(target.name),
                "verdict": target_verdict(target, traced.model_name),
                "evidence": [_evidence(one, (photo.height, photo.width)) for one in target.explanations],
            }
            for target in traced.targets
        ],
    }


def _evidence(explanation: Explanation, shape: tuple[int, int]) -> dict[str, Any]:
    drawn = explanation_data(explanation, explanation.box(shape))
    return {**drawn, "facts": facts(explanation, shape)}


def _bars(targets: Sequence[Target]) -> list[str]:
    """The length of each target's bar: a class's probability, or an activation divided by the largest one on
    the page."""
    if targets[0].measure == "probability":
        return [bar_width(target.value) for target in targets]
    values = [max(target.value, 0.0) if math.isfinite(target.value) else 0.0 for target in targets]
    return [bar_width(value / max(*values, 1e-12)) for value in values]


MAP_LONGEST = 88  # pixels of a word's heat map on the page; the browser smooths it

PRECEDING = {
    "removal": "left out",
    "gradient": "gradient",
}  # names of the measures of earlier words on the page


def _words_on_page(grounding: Grounding) -> dict[str, Any]:
    """The text of the page of a caption."""
    words = [
        (word, percent(word.visual_share), bar_width(word.visual_share), _marks(word))
        for word in grounding.words
    ]
    return {"grounding": grounding, "words": words}


def _marks(word: GroundedWord) -> list[str]:
    """The classes of a word's button, beside "word"."""
    marks = {"habit": is_language_habit(word), "doubtful": is_doubtful(word), "unknown": not word.known}
    return [name for name, holds in marks.items() if holds]


def _words_data(grounding: Grounding, outlines: Outlines) -> dict[str, Any]:
    return {
        "heat": HEAT_STOPS,
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
        "verdict": " ".join(filter(None, (truth(word), verdict(word, first=index == 0)))),
        "doubtful": is_doubtful(word),
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
    """Rank points ``[row, column, weight]``, the strongest first with weight 1, so that the strongest points
    are a prefix.

    If there are very many points, only the first of `strongest_first` are kept.
    """
    order = strongest_first(fixations)
    weights = np.maximum(np.asarray(fixations.weights, float), 0)[order]
    strongest = max(float(weights.max(initial=0)), np.finfo(float).tiny)
    return [
        [int(row), int(column), round(float(weight / strongest), 3)]
        for (row, column), weight in zip(fixations.points[order], weights, strict=True)
    ]


def explanation_data(explanation: Explanation, box: Sequence[float] | None) -> dict[str, Any]:
    """The data of the page's `Overlay` for one explanation, with a box ``[x, y, width, height]``."""
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


def _finite(value: float | None) -> float | None:
    return round(float(value), 4) if value is not None and math.isfinite(value) else None


PHOTO_LONGEST = 1200  # pixels of the photo on the page

_TEMPLATES = Path(__file__).with_name("templates")


def render(
    template: str, styles: Sequence[str], scripts: Sequence[str], folder: Path = _TEMPLATES, **values: Any
) -> str:
    """Fill a template and include its style sheets and scripts; everything in ``values`` is escaped by Jinja.

    Files that are not in ``folder`` come from this package's own templates.
    """
    return "".join(rendered(template, styles, scripts, folder, **values))


def rendered(
    template: str, styles: Sequence[str], scripts: Sequence[str], folder: Path = _TEMPLATES, **values: Any
) -> Iterator[str]:
    """Yield the text of `render` piece by piece; an iterator among ``values`` is read as it is needed."""
    environment = _environment(folder)
    script = "\n".join(_source(environment, name) for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).generate(
        style=Markup("\n".join(_source(environment, name) for name in styles)),
        script=Markup(script),
        script_hash=f"sha256-{digest}",  # the page's security policy runs this script and no other
        **values,
    )


def jpeg_uri(photo: Photo, longest: int, quality: int = 80) -> str:
    """Scale the photo down to ``longest`` pixels on its longer side, and encode it as a JPEG ``data:``
    address."""
    image = Image.fromarray(np.asarray(photo.pixels, np.uint8))
    image = image.resize(fitted(image.width, image.height, longest), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def bar_width(share: float | None) -> str:
    """A visual share as a CSS length; 0 if it is not a number or was not measured."""
    return f"{100 * share:.1f}%" if share is not None and math.isfinite(share) else "0%"


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # a page has thousands of points
    return made


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
