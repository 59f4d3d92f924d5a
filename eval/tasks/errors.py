"""`gazeback evaluate errors`: what does a classifier look at when it is wrong?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from gazeback.eval.data.folder import Need
from gazeback.eval.harness.page import OUTLINE, TEMPLATES
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.metrics.maps import boxes_mask, energy_inside
from gazeback.eval.metrics.statistics import correlation, grouped_mean
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask, Prepared
from gazeback.eval.subjects.methods import CENTRE
from gazeback.grounding.output.colours import blended, fitted, look_of
from gazeback.grounding.output.page import jpeg_uri, render
from gazeback.grounding.output.text import probability_text, short, synonyms
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo
from gazeback.models.writing import write_atomically


@dataclass(frozen=True)
class Mistake:
    """An image that is predicted wrong: both classes, their probabilities, and a comparison of one method's
    maps of them.

    correlation: Pearson's, of the two maps; None if one is uniform. predicted_energy, true_energy: the
    fraction of each map inside the object's boxes; None without boxes.
    """

    predicted: int
    true: int
    predicted_probability: float
    true_probability: float
    correlation: float | None
    predicted_energy: float | None
    true_energy: float | None

    @property
    def difference(self) -> float | None:
        """The energy of the true class's map minus that of the predicted class."""
        if self.true_energy is None or self.predicted_energy is None:
            return None
        return self.true_energy - self.predicted_energy

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Mistake | None:
        """Read a record; None for an image that is predicted correctly."""
        return None if record["right"] else cls(**{name: record[name] for name in cls.__dataclass_fields__})

    def as_record(self) -> dict[str, Any]:
        return {"right": False, **asdict(self)}


def compared(predicted_map: np.ndarray, true_map: np.ndarray, mask: np.ndarray | None) -> dict[str, Any]:
    """Compare two maps, float [height, width], non-negative; `mask`: bool, the pixels of the object."""
    inside: list[float] | list[None] = [None, None]
    if mask is not None and mask.any():
        inside = energy_inside(np.stack([predicted_map, true_map]), mask[None])[:, 0].tolist()
    together = correlation(predicted_map, true_map).get("correlation")
    return {"correlation": together, "predicted_energy": inside[0], "true_energy": inside[1]}


def most_confident(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Mistake]:
    """One method's mistakes, the largest probability of the wrong class first."""
    found = {name: Mistake.of(record) for name, record in records.items()}
    mistakes = {name: mistake for name, mistake in found.items() if mistake is not None}
    return dict(sorted(mistakes.items(), key=lambda item: (-item[1].predicted_probability, item[0])))


SHOWN = 60
"""The number of mistakes on the page, the most confident ones; a longer page would be slow."""

LONGEST = 240
"""Pixels of the longer side of a picture."""


def write_gallery(task: ErrorsTask, records: Records, path: Path) -> Path:
    """Write the page of the mistakes in the records; returns its path. Raises UserError."""
    try:
        return write_atomically(path, gallery_html(task, records).encode("utf-8", errors="replace"))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def gallery_html(task: ErrorsTask, records: Records) -> str:
    """Build the page, one file that needs no network. Raises UserError.

    The map of `center` is left out, because it is the same for all classes.
    """
    methods = [method for method in records if method != CENTRE]
    mistakes = {method: most_confident(records[method]) for method in records}
    wrong = next(iter(mistakes.values()))
    names = list(wrong)[:SHOWN]
    subject = task.subject() if names else None
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
            _card(task, subject, name, {method: mistakes[method][name] for method in methods})
            for name in names
            if subject is not None
        ],
    )


def _card(
    task: ErrorsTask, subject: ClassifierSubject, name: str, mistakes: Mapping[str, Mistake]
) -> dict[str, Any]:
    mistake = next(iter(mistakes.values()))
    classes = subject.classifier.class_names
    seen = subject.prepare(task.read[name].path)
    boxes = task.boxes(name, seen)
    return {
        "name": name,
        "predicted": _class(classes[mistake.predicted], mistake.predicted_probability),
        "true": _class(classes[mistake.true], mistake.true_probability),
        "photo": jpeg_uri(_outlined(seen.photo, boxes), LONGEST),
        "pairs": [
            {"method": method, "facts": _facts(one), "pictures": list(pictures)}
            for (method, one), pictures in zip(
                mistakes.items(), _pictures(task, subject, name, mistakes, boxes), strict=True
            )
        ],
    }


def _class(name: str, probability: float) -> dict[str, str]:
    return {"name": short(name), "others": synonyms(name), "probability": probability_text(probability)}


def _facts(mistake: Mistake) -> str:
    """The figures of one method's two maps as text."""
    facts = [] if mistake.correlation is None else [f"correlation {mistake.correlation:.2f}"]
    if mistake.difference is not None:
        facts.append(f"in the boxes {mistake.predicted_energy:.2f} and {mistake.true_energy:.2f}")
    return ", ".join(facts)


def _pictures(
    task: ErrorsTask, subject: ClassifierSubject, name: str, mistakes: Mapping[str, Mistake],
    boxes: Sequence[Sequence[float]],
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """For each method, the photo with the map of the predicted class, and with that of the true class."""
    seen = subject.prepare(task.read[name].path)
    look = look_of(seen.photo)
    for method, mistake in mistakes.items():
        classes = np.array([mistake.predicted]), np.array([mistake.true])
        predicted, true = (
            np.asarray(blended(Image.fromarray(seen.photo.pixels), _level(heat), look))
            for heat in next(both_maps(subject, method, [seen], *classes))
        )
        yield (
            jpeg_uri(_outlined(Photo(predicted, name), boxes), LONGEST),
            jpeg_uri(_outlined(Photo(true, name), boxes), LONGEST),
        )


def _level(heat: np.ndarray) -> np.ndarray:
    """A map as uint8, maximum 255; a map of zeros stays one."""
    return np.round(255 * heat / max(float(heat.max()), 1e-12)).astype(np.uint8)


def _outlined(photo: Photo, boxes: Sequence[Sequence[float]]) -> Photo:
    """A thumbnail of the photo with boxes `[x, y, w, h]`, which are in pixels of the photo."""
    size = fitted(photo.width, photo.height, LONGEST)
    image = Image.fromarray(photo.pixels).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    scale = np.tile(np.divide(size, (photo.width, photo.height)), 2)
    for x, y, w, h in boxes:
        pen.rectangle((np.array([x, y, x + w, y + h]) * scale).tolist(), outline=OUTLINE, width=2)
    return Photo(np.asarray(image), photo.name)


COLUMNS = ("correlation of the two maps", "energy, predicted", "energy, true", "difference")


class ErrorsTask(ObjectTask):
    """Compares the maps of the predicted and of the true class on images that are predicted wrong."""

    name: ClassVar[str] = "errors"
    need: ClassVar[Need | None] = "labels"
    asks_true: ClassVar[bool] = True

    def tables(self, records: Records) -> Sequence[Table]:
        mistakes = {method: most_confident(of_method) for method, of_method in records.items()}
        images, wrong = (len(next(iter(of.values()))) for of in (records, mistakes))
        notes = [
            f"{wrong} of {images} images are predicted wrong; ± standard error over them",
            "energy: fraction of a map inside the boxes of the object, if there are boxes; difference: that "
            "of the true class minus that of the predicted one; a uniform map has no correlation",
        ]
        return [
            Table(
                "Predicted wrong", COLUMNS, [(m, _cells(of)) for m, of in mistakes.items()], notes, "method"
            )
        ]

    def score(self, record: Record) -> float | None:
        """The dissimilarity of the two maps: 1 minus their correlation."""
        mistake = Mistake.of(record)
        return None if mistake is None or mistake.correlation is None else 1 - mistake.correlation

    def write_pages(self, records: Records, stem: Path) -> list[Path]:
        """Write the gallery of the mistakes, `STEM-gallery.html`. Raises UserError."""
        return [write_gallery(self, records, stem.with_name(f"{stem.name}-gallery.html"))]

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        seen = [subject.prepare(self.read[name].path) for name in names]
        probabilities = subject.probabilities(seen)
        predicted = probabilities.argmax(axis=1)
        true = np.array([subject.true_classes.labelled(self.read[name]) for name in names])
        wrong = np.flatnonzero(predicted != true).tolist()
        records: dict[str, dict[str, Record]] = {
            name: {method: {"right": True} for method in methods} for name in names
        }
        for method in methods if len(wrong) else ():
            pairs = both_maps(subject, method, [seen[i] for i in wrong], predicted[wrong], true[wrong])
            for i, maps in zip(wrong, pairs, strict=True):
                records[names[i]][method] = Mistake(
                    predicted=int(predicted[i]),
                    true=int(true[i]),
                    predicted_probability=float(probabilities[i, predicted[i]]),
                    true_probability=float(probabilities[i, true[i]]),
                    **compared(*maps, self._mask(names[i], seen[i])),
                ).as_record()
        return records

    def example(self, subject: ClassifierSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The photo with the maps of the predicted class; the gallery shows both classes."""
        seen = subject.prepare(self.read[name].path)
        predicted, true = (
            int(subject.probabilities([seen])[0].argmax()),
            subject.true_classes.labelled(self.read[name]),
        )
        names = subject.classifier.class_names
        title = f"predicted: {names[predicted]}; true: {names[true]}"
        maps = subject.maps_on_photo(methods, seen, predicted)
        return Example(seen.photo.pixels, maps, title, boxes=self.boxes(name, seen))

    def boxes(self, name: str, seen: Prepared) -> list[list[float]]:
        """The boxes of the object, in pixels of the photo."""
        image = self.read[name]
        if image.size is None:
            return []
        scale = np.divide((seen.photo.width, seen.photo.height), image.annotated[::-1])
        return (image.boxes() * np.tile(scale, 2)).tolist()

    def _mask(self, name: str, seen: Prepared) -> np.ndarray | None:
        boxes = self.boxes(name, seen)
        return boxes_mask(boxes, seen.photo.height, seen.photo.width) if boxes else None


def both_maps(
    subject: ClassifierSubject, method: str, seen: Sequence[Prepared], predicted: np.ndarray, true: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Compute the maps of two classes of each image, float [height, width] over the photo."""
    pixels = [one.pixels for one in seen]
    both = (subject.maps(method, pixels, classes) for classes in (predicted, true))
    for one, *maps in zip(seen, *both, strict=True):
        yield one.on_photo(maps[0]), one.on_photo(maps[1])


def _cells(mistakes: Mapping[str, Mistake]) -> list[Any]:
    return [
        grouped_mean({name: getattr(mistake, figure) for name, mistake in mistakes.items()})
        for figure in ("correlation", "predicted_energy", "true_energy", "difference")
    ]
