"""Write the index page of many photos: a thumbnail, the caption with its visual shares, a link."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from gazeback.grounding.output.page import bar_width, jpeg_uri, rendered
from gazeback.grounding.output.text import LITTLE, short
from gazeback.models.writing import whole

if TYPE_CHECKING:
    from gazeback.grounding.classes import TracedPhoto

THUMBNAIL = 320  # pixels of a photo on the index page, longer side


@dataclass(frozen=True)
class IndexEntry:
    """One photo of the index.

    Attributes:
        result: its `to_json` (of the words only ``text`` and ``visual_share`` are read).
        page: path of its page, relative to the index.
        picture: path of a thumbnail, relative to the index, or a ``data:image/`` address.
    """

    result: Mapping[str, Any]
    page: str
    picture: str


WORDING: dict[str, dict[str, Any]] = {
    "words": {
        "hint": "Under each word: the fraction of its probability that the photo contributed. "
        "Grey italics: language habit.",
        "filter_label": "Words in the caption",
    },
    "classes": {
        "hint": "The most probable classes, each with its probability. Grey italics: below 10 %.",
        "filter_label": "Words in the classes",
    },
}


def index_html(entries: Sequence[IndexEntry], title: str, kind: Literal["words", "classes"] = "words") -> str:
    """Build one HTML page that links the pages of ``entries``; a text field filters the captions by words.

    Args:
        kind: the kind of the answers, which chooses the texts of the page.
    """
    return "".join(_pieces(entries, len(entries), title, kind))


def _pieces(entries: Iterable[IndexEntry], count: int, title: str, kind: str) -> Iterator[str]:
    return rendered(
        "index.html.j2",
        styles=("base.css", "index.css"),
        scripts=("index.js",),
        title=title,
        count=count,
        entries=map(_shown, entries),
        **WORDING[kind],
    )


def _shown(entry: IndexEntry) -> dict[str, Any]:
    shares = [(word["text"], word["visual_share"]) for word in entry.result["words"]]
    is_data = entry.picture.startswith("data:image/")
    return {
        "photo": entry.result["photo"],
        "caption": entry.result["caption"],
        "page": quote(entry.page),
        "picture": entry.picture if is_data else quote(entry.picture),
        "words": [(text, bar_width(share), share is not None and share < LITTLE) for text, share in shares],
    }


def index_entry(traced: TracedPhoto, page: str) -> IndexEntry:
    """The entry of a traced photo; ``page``: the path of its page, relative to the index."""
    words = [
        {"text": short(one.name), "visual_share": one.value if one.measure == "probability" else None}
        for one in traced.predictions
    ]
    caption = ", ".join(one.name for one in traced.predictions)
    result = {"photo": traced.photo.name, "caption": caption, "words": words}
    return IndexEntry(result, page, jpeg_uri(traced.photo, THUMBNAIL))


def write_index(
    entries: Iterable[IndexEntry],
    path: str | os.PathLike[str],
    title: str,
    kind: Literal["words", "classes"] = "words",
    count: int | None = None,
) -> Path:
    """Write `index_html` to ``path`` as UTF-8, entry by entry; returns the path.

    Args:
        count: the number of entries, if they come one by one.

    Raises:
        OSError: it cannot be written.
    """
    if count is None:
        entries = list(entries)
        count = len(entries)
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(_pieces(entries, count, title, kind))
    return Path(path)
