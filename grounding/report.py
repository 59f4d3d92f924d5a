"""The page: one self-contained HTML file on which each word of a caption shows its evidence."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from gazeback.grounding.atomic import write_atomically
from gazeback.grounding.evidence_map import fitted
from gazeback.grounding.page_data import Outlines, page_data
from gazeback.grounding.verdict import is_language_habit, percent

if TYPE_CHECKING:
    from gazeback.grounding.words import Grounding
    from gazeback.models.photos import Photo

PHOTO_LONGEST = 1200  # pixels of the photo on the page
_TEMPLATES = Path(__file__).with_name("templates")


def write_page(grounding: Grounding, path: str | os.PathLike[str], outlines: Outlines | None = None) -> Path:
    """Write `page_html` to ``path`` as UTF-8; returns the path. Raises `OSError`."""
    return write_atomically(path, page_html(grounding, outlines).encode("utf-8", errors="replace"))


def page_html(grounding: Grounding, outlines: Outlines | None = None) -> str:
    """The whole page: photo, caption, evidence, style and script in one file that needs no network.

    Args:
        outlines: word index -> polygons ``[[x, y], ...]`` in photo pixels, drawn over that word's evidence
            (instances of the category that the word names).
    """
    photo = grounding.photo
    return render(
        "page.html.j2",
        styles=("base.css", "stage.css", "page.css"),
        scripts=("shared.js", "overlay.js", "details.js", "page.js"),
        grounding=grounding,
        photo_uri=jpeg_uri(photo, PHOTO_LONGEST),
        ratio=photo.width / photo.height,
        words=[
            (word, percent(word.visual_share), bar_width(word.visual_share), is_language_habit(word))
            for word in grounding.words
        ],
        payload=page_data(grounding, outlines or {}),
    )


def render(
    template: str, styles: Sequence[str], scripts: Sequence[str], folder: Path = _TEMPLATES, **values: Any
) -> str:
    """A template with its style sheets and scripts inside; everything in ``values`` is escaped by Jinja.

    What is not in ``folder`` comes from this package's own templates.
    """
    environment = _environment(folder)
    script = "\n".join(_source(environment, name) for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        style=Markup("\n".join(_source(environment, name) for name in styles)),
        script=Markup(script),
        script_hash=f"sha256-{digest}",  # the page's security policy runs this script and no other
        **values,
    )


def jpeg_uri(photo: Photo, longest: int, quality: int = 85) -> str:
    """The photo, scaled down to ``longest`` pixels on its longer side, as a JPEG ``data:`` address."""
    image = Image.fromarray(np.asarray(photo.pixels, np.uint8))
    image = image.resize(fitted(image.width, image.height, longest), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def bar_width(share: float) -> str:
    """A share as a CSS length; nothing for what is not a number."""
    return f"{100 * share:.1f}%" if math.isfinite(share) else "0%"


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
