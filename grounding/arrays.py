"""Classify a signal, a volume or another array that is no photo, and trace classes to its places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gazeback.grounding.classes import TOP, Prediction, Session, Target
from gazeback.grounding.methods import check_methods
from gazeback.grounding.output.files import check_folder
from gazeback.grounding.output.plots import write_plot
from gazeback.grounding.output.results import answers_to_json
from gazeback.grounding.output.text import value_text
from gazeback.models.classifiers import ArrayClassifier
from gazeback.models.errors import UserError
from gazeback.models.reading import MOST_PIXELS, read_array
from gazeback.models.writing import json_text, together, write_atomically, writing_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPECTED = "an array of numbers in a .npy file (numpy.save)"


@dataclass(frozen=True, eq=False)
class TracedArray:
    """An array, a classifier's answers, and the explanations of each target.

    Attributes:
        name: shown to users.
        values: float32 ``[..., channels]``, as the model reads them.
        methods: the methods, in order.
        predictions: the most probable classes, best first.
        targets: the classes or neurons that are explained, those that were asked for first. Points and boxes
            are in places of the array.
    """

    name: str
    values: np.ndarray
    classifier: ArrayClassifier
    methods: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    targets: tuple[Target, ...]

    @property
    def model_name(self) -> str:
        return self.classifier.name

    def to_json(self) -> dict[str, Any]:
        """Convert the result to a JSON-ready object.

        Keys: ``array`` (name), ``shape`` (with the channels), ``model``, ``predictions`` and ``targets``, as
        those of a photo. A point has as many coordinates as the array has places, in the array's order, and
        its weight; a box has the starts of its sides and then their lengths, the last axis first, as the
        ``[x, y, width, height]`` of a photo.
        """
        shape = self.values.shape
        found = answers_to_json(self.predictions, self.targets, shape[:-1])
        return {"array": self.name, "shape": list(shape), "model": self.model_name, **found}

    def plot(self, target: int = 0, method: int = 0) -> Figure:
        """Draw one target's explanation by one method: curves of a signal, the slice of a volume or of frames
        with the most weight, or a map; the channels of all but a signal are drawn by their mean."""
        answer = self.targets[target]
        found = answer.explanations[method].fixations
        assert found is not None  # of a traced method
        figure = found.plot(self.values if self.values.ndim == 2 else self.values.mean(axis=-1))
        title = f"{self.name}: {answer.name} ({value_text(answer)}), {self.methods[method]}"
        if self.values.ndim == 4:
            title += f", slice {int(np.bincount(found.points[:, 0], found.weights, 1).argmax())}"
        figure.suptitle(title, size=9, parse_math=False)
        return figure

    def save(self, out: str | os.PathLike[str], stem: str | None = None) -> dict[str, Path]:
        """Write STEM.png (the first target by the first method) and STEM.json into a folder; returns their
        paths by kind. All files are written, or none. Raises UserError."""
        folder, stem = Path(out), stem or Path(self.name).stem
        check_folder(folder)
        paths = {kind: folder / f"{stem}.{kind}" for kind in ("png", "json")}
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with together(*paths.values()) as (figure, result):
                write_plot(self.plot(), figure)
                write_atomically(result, json_text(self.to_json()).encode("utf-8", errors="replace"))
        return paths


def load_array(path: str | os.PathLike[str], classifier: ArrayClassifier) -> np.ndarray:
    """Read the array of a ``.npy`` file as the classifier reads it: float32 ``[..., channels]``, without the
    batch axis.

    Raises:
        UserError: no such file, a pickle, too large, not of the model's shape, or values that are not finite.
    """
    return checked_array(read_array(Path(path), EXPECTED, UserError), classifier, str(path))


def checked_array(values: np.ndarray, classifier: ArrayClassifier, path: str) -> np.ndarray:
    """The array as float32. Raises UserError, which begins with the ``path``, as `load_array` does."""
    wanted, shape = classifier.input_shape, values.shape
    fits = len(shape) == len(wanted) and all(
        side > 0 and size in (None, side) for side, size in zip(shape, wanted, strict=True)
    )
    if not fits:
        text = ", ".join("any" if side is None else str(side) for side in wanted)
        raise UserError(
            f"{path}: expected an array [{text}], as {classifier.name} reads it without the batch axis; got "
            f"{list(shape)}"
        )
    if values.dtype.kind not in "biuf":
        raise UserError(f"{path}: expected real numbers, got {values.dtype}")
    if values.size > MOST_PIXELS:
        raise UserError(f"{path}: {values.size:,} values; at most {MOST_PIXELS:,} are read")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(values))[0]]
        raise UserError(f"{path}: expected finite numbers, got {values[tuple(place)]} at {place}")
    return values


def trace_array(
    classifier: ArrayClassifier,
    array: Any,
    targets: Iterable[Any] | None = None,
    methods: Sequence[str] = ("evidence",),
    *,
    layer: str | None = None,
    top: int = TOP,
    name: str = "array",
    **options: Any,
) -> TracedArray:
    """Classify an array and trace its classes to its places; one forward pass per method.

    Args:
        classifier: from :func:`gazeback.models.classifiers.load_array_classifier`.
        array: the path of a ``.npy`` file, or float ``[..., channels]`` as the model reads it.
        targets, methods, layer, top, options: as in :func:`gazeback.grounding.trace_photo`; only the core's
            methods.
        name: of an array that is given as values.

    Raises:
        UserError: a bad array, class or method; TraceError: a layer, neuron or option that does not fit.
    """
    if top < 1:
        raise UserError(f"top: expected 1 class or more, got {top}")
    check_methods(methods)
    if isinstance(array, str | os.PathLike):
        name, array = Path(array).name, load_array(array, classifier)
    values = checked_array(np.asarray(array), classifier, name)
    session = Session(classifier, values, tuple(methods), options)
    best = session.best(top)
    if layer is None:
        indices = [classifier.class_index(target) for target in targets or ()]
        found = session.classes(list(dict.fromkeys([*indices, *(one.index for one in best)])))
    else:
        found = session.neurons(layer, list(targets or [None]))
    return TracedArray(name, values, classifier, session.methods, best, found)
