"""The gallery of mistakes: each image with the evidence for what was predicted and for the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from gazeback.eval.class_maps import CENTRE
from gazeback.eval.errors import Mistake, most_confident
from gazeback.eval.harness.page import OUTLINE, TEMPLATES
from gazeback.eval.harness.task import Records
from gazeback.grounding.atomic import write_atomically
from gazeback.grounding.classes_text import probability_text, short, synonyms
from gazeback.grounding.evidence_map import fitted
from gazeback.grounding.looks import blended, look_of
from gazeback.grounding.report import jpeg_uri, render
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo

if TYPE_CHECKING:
    from gazeback.eval.errors_task import ErrorsMeasurer, ErrorsTask

SHOWN = 60
"""How many mistakes are shown, the most confident ones: a page of more would be slow."""

LONGEST = 240
"""Pixels of the longer side of a picture."""


def write_gallery(task: ErrorsTask, records: Records, path: Path) -> Path:
    """Write the page of the mistakes that the records tell of; returns its path. Raises UserError."""
    try:
        return write_atomically(path, gallery_html(task, records).encode("utf-8", errors="replace"))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def gallery_html(task: ErrorsTask, records: Records) -> str:
    """One file that needs no network. Raises UserError.

    The centre's map is left out, which is the same for all classes.
    """
    methods = [method for method in records if method != CENTRE]
    mistakes = {method: most_confident(records[method]) for method in records}
    wrong = next(iter(mistakes.values()))
    names = list(wrong)[:SHOWN]
    measurer = task.open() if names else None
    return render(
        "errors.html.j2",
        styles=("base.css", "result.css", "errors.css"),
        scripts=("shared.js", "errors.js"),
        folder=TEMPLATES,
        model=task.model,
        images=len(next(iter(records.values()))),
        wrong=len(wrong),
        shown=len(names),
        methods=methods,
        cards=[
            _card(measurer, name, {method: mistakes[method][name] for method in methods})
            for name in names
            if measurer is not None
        ],
    )


def _card(measurer: ErrorsMeasurer, name: str, mistakes: Mapping[str, Mistake]) -> dict[str, Any]:
    mistake = next(iter(mistakes.values()))
    classes = measurer.asked.classifier.class_names
    seen = measurer.asked.see(measurer.data[name].path)
    boxes = measurer.boxes(name, seen)
    return {
        "name": name,
        "predicted": _class(classes[mistake.predicted], mistake.predicted_probability),
        "true": _class(classes[mistake.true], mistake.true_probability),
        "photo": jpeg_uri(_outlined(seen.photo, boxes), LONGEST),
        "pairs": [
            {"method": method, "facts": _facts(one), "pictures": list(pictures)}
            for (method, one), pictures in zip(
                mistakes.items(), _pictures(measurer, name, mistakes, boxes), strict=True
            )
        ],
    }


def _class(name: str, probability: float) -> dict[str, str]:
    return {"name": short(name), "others": synonyms(name), "probability": probability_text(probability)}


def _facts(mistake: Mistake) -> str:
    """What the figures say of one method's two maps."""
    facts = [] if mistake.correlation is None else [f"correlation {mistake.correlation:.2f}"]
    if mistake.difference is not None:
        facts.append(f"in the boxes {mistake.predicted_energy:.2f} and {mistake.true_energy:.2f}")
    return ", ".join(facts)


def _pictures(
    measurer: ErrorsMeasurer, name: str, mistakes: Mapping[str, Mistake], boxes: Sequence[Sequence[float]]
) -> Iterator[tuple[str, str]]:
    """For each method the photo with the map of the predicted class on it, and with that of the true one."""
    seen = measurer.asked.see(measurer.data[name].path)
    look = look_of(seen.photo)
    for method, mistake in mistakes.items():
        classes = np.array([mistake.predicted]), np.array([mistake.true])
        predicted, true = (
            blended(np.asarray(seen.photo.pixels, np.float32), _level(heat), look)
            for heat in next(measurer.both_maps(method, [seen], *classes))
        )
        yield (
            jpeg_uri(_outlined(Photo(predicted, name), boxes), LONGEST),
            jpeg_uri(_outlined(Photo(true, name), boxes), LONGEST),
        )


def _level(heat: np.ndarray) -> np.ndarray:
    """A map as uint8, maximum 255; a map of zeros stays one."""
    return np.round(255 * heat / max(float(heat.max()), 1e-12)).astype(np.uint8)


def _outlined(photo: Photo, boxes: Sequence[Sequence[float]]) -> Photo:
    """The photo, small, with boxes `[x, y, w, h]` in its pixels drawn on it."""
    size = fitted(photo.width, photo.height, LONGEST)
    image = Image.fromarray(photo.pixels).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    scale = np.tile(np.divide(size, (photo.width, photo.height)), 2)
    for x, y, w, h in boxes:
        pen.rectangle((np.array([x, y, x + w, y + h]) * scale).tolist(), outline=OUTLINE, width=2)
    return Photo(np.asarray(image), photo.name)
