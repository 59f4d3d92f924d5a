"""Write the page of a result: tables, distributions of the figures, the best and worst images with their
maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records, Task
from gazeback.grounding.output.colours import blended, fitted, look_of
from gazeback.grounding.output.page import jpeg_uri, render
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo

EXTREMES = 4
"""The number of best and of worst images on the page."""

BINS = 24
LONGEST = 300
"""Pixels of the longer side of a photo on the page."""

EVEN = 0.01
"""A map that varies by less than this fraction of its maximum is not drawn, such as that of the point in the
middle."""

OUTLINE = (125, 240, 224)
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Content:
    """The content of a page."""

    task: Task[Any]
    subject: Any
    records: Records
    tables: Sequence[Table]
    notes: Sequence[str]
    command: str


def html(content: Content) -> str:
    """Build the page, one file that needs no network."""
    first = content.records[content.task.methods[0]]
    best, worst = extremes({name: content.task.score(record) for name, record in first.items()})
    return render(
        "result.html.j2",
        styles=("base.css", "result.css"),
        scripts=("shared.js", "result.js"),
        folder=TEMPLATES,
        task=content.task.name,
        command=content.command,
        tables=content.tables,
        notes=content.notes,
        spreads=spreads(content.task, content.records),
        galleries=[
            (title, [panel for name in names if (panel := _panel(content, name))])
            for title, names in (("Best", best), ("Worst", worst))
        ],
        first=content.task.methods[0],
    )


def extremes(scores: Mapping[str, float | None], count: int = EXTREMES) -> tuple[list[str], list[str]]:
    """The names of the best and of the worst images, the most extreme first; no image is in both."""
    order = sorted((score, name) for name, score in scores.items() if score is not None)
    count = min(count, (len(order) + 1) // 2)
    worst = [name for _, name in order[: min(count, len(order) // 2)]]
    return [name for _, name in order[::-1][:count]], worst


@dataclass(frozen=True)
class Spread:
    """The distribution of one method's figures: bars as fractions of the highest, and the position of the
    mean, 0 to 1."""

    method: str
    bars: Sequence[float]
    mean_at: float
    mean: float
    n: int


def spreads(task: Task[Any], records: Records) -> dict[str, Any]:
    """Histograms of the score by method on one scale; empty if no record has a score."""
    values = {
        method: np.array([w for w in map(task.score, of_images.values()) if w is not None])
        for method, of_images in records.items()
    }
    values = {method: found for method, found in values.items() if len(found)}
    if not values:
        return {"rows": [], "low": 0.0, "high": 1.0}
    everything = np.concatenate(list(values.values()))
    low, high = float(everything.min()), float(everything.max())
    high = high if high > low else low + 1
    rows = []
    for method, found in values.items():
        counts = np.histogram(found, BINS, (low, high))[0]
        mean = float(found.mean())
        bars = (counts / counts.max()).tolist()
        rows.append(Spread(method, bars, (mean - low) / (high - low), mean, len(found)))
    return {"rows": rows, "low": low, "high": high}


def _panel(content: Content, name: str) -> dict[str, Any] | None:
    """A photo with each method's map on it; None if it cannot be shown."""
    try:
        shown = content.task.example(content.subject, name, content.task.methods)
    except UserError:
        return None
    if shown is None:
        return None
    pictures = [("photo", _with_outlines(shown, shown.photo), "")]
    look = look_of(Photo(shown.photo, name))
    for method, heat in shown.maps.items():
        level = np.asarray(heat, np.float32)
        if np.ptp(level) < EVEN * level.max(initial=0):
            continue  # nothing to see
        level = np.round(255 * np.clip(level / max(float(level.max()), 1e-12), 0, 1)).astype(np.uint8)
        picture = np.asarray(blended(Image.fromarray(shown.photo), level, look))
        pictures.append((method, _with_outlines(shown, picture), shown.values.get(method, "")))
    return {
        "name": name,
        "title": shown.title,
        "score": _score(content.task, content.records[content.task.methods[0]].get(name)),
        "pictures": [(label, jpeg_uri(Photo(p, name), LONGEST), value) for label, p, value in pictures],
    }


def _score(task: Task[Any], record: Record | None) -> str:
    score = None if record is None else task.score(record)
    return "" if score is None else f"{score:.3f}"


def _with_outlines(shown: Example, picture: np.ndarray) -> np.ndarray:
    """A thumbnail with the true boxes and the outline of the true mask: uint8 [h, w, 3]."""
    height, width = picture.shape[:2]
    size = fitted(width, height, LONGEST)
    image = Image.fromarray(np.asarray(picture, np.uint8)).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    for x, y, w, h in shown.boxes:
        corners = np.array([x, y, x + w, y + h]) * np.tile(np.divide(size, (width, height)), 2)
        pen.rectangle(corners.tolist(), outline=OUTLINE, width=2)
    pixels = np.array(image)
    if shown.mask is not None and shown.mask.any():
        mask = np.asarray(Image.fromarray(shown.mask).resize(size, Image.Resampling.NEAREST))
        pixels[_edge(mask)] = OUTLINE
    return pixels


def _edge(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask bool [h, w] that have a neighbour outside it."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
