"""The methods of tasks: their names, and their maps and points for a class or a word.

The names are those of :mod:`gazeback.grounding.methods`: the core's methods, which find points, and the
registered ones, which make maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.tracer import Options, tracer_of
from gazeback.eval.baselines.short_routes import Question
from gazeback.grounding.captions import word_evidence
from gazeback.grounding.methods import check_methods, explained, explained_words, is_traced
from gazeback.models.caption_generator import CaptionGenerator

EVIDENCE, CENTRE, ACTIVATION = "evidence", "center", "activation"

BASELINES = (CENTRE, ACTIVATION)
"""The baselines that are always measured: a point in the middle, and the channel sum of the last map. They do
not depend on a class or a word."""

AT_ONCE = {"top": 1, "discernible": 4}
"""The number of images that these methods trace at once; they keep many neurons."""


def chosen_methods(names: str, baselines: Sequence[str] = BASELINES) -> tuple[str, ...]:
    """Split the names of methods at commas, each once, and append the baselines.

    A baseline may be a name that only the task has. Raises UserError for an unknown name, or if there is
    none.
    """
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    others = [name for name in dict.fromkeys(chosen) if name not in baselines]
    if others or not chosen:
        check_methods(others)
    return tuple(dict.fromkeys([*chosen, *baselines]))


@dataclass(frozen=True, eq=False)
class Found:
    """The explanations of m classes of each of n images by one method.

    Attributes:
        maps: float32 ``[n, m, H, W]``, non-negative.
        points: the points ``[image][class]``; None for a method that only makes maps.
    """

    maps: np.ndarray
    points: list[list[Fixations]] | None


def explain_classes(name: str, model: keras.Model, pixels: np.ndarray, classes: np.ndarray) -> Found:
    """Explain classes int ``[n, m]`` of preprocessed images ``[n, H, W, C]``. Raises UserError."""
    if is_traced(name):
        points = class_points(name, model, pixels, classes)
        return Found(np.array([[one.heatmap() for one in of_image] for of_image in points]), points)
    asked = zip(pixels, classes.tolist(), strict=True)
    return Found(np.array([explained(name, model, image, of_image) for image, of_image in asked]), None)


def class_maps(name: str, model: keras.Model, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Compute the maps of one class of each image: classes int ``[n]`` to float32 ``[n, H, W]``,
    non-negative. Raises UserError.
    """
    return explain_classes(name, model, pixels, np.asarray(classes)[:, None]).maps[:, 0]


def class_points(
    name: str, model: keras.Model, pixels: np.ndarray, classes: np.ndarray, **options: Any
) -> list[list[Fixations]]:
    """Compute the points ``[image][class]`` of a method of the core for classes int ``[n, m]``.

    `options` are those of :class:`gazeback.cnn_trace.tracer.Options`. Raises TraceError.
    """
    tracer, settings = tracer_of(model), Options.of(method=name, **options)

    def traced(pixels: np.ndarray, classes: np.ndarray) -> list[list[Fixations]]:
        arrays = check_inputs(tracer.graph, pixels)
        return tracer.explain(arrays, tracer.target(), lambda _: classes[..., None], settings).fixations

    size = AT_ONCE.get(name, max(len(classes), 1))
    parts = (slice(first, first + size) for first in range(0, len(classes), size))
    return [of_image for part in parts for of_image in traced(pixels[part], classes[part])]


def word_maps(name: str, captioner: CaptionGenerator, question: Question) -> np.ndarray:
    """Compute the maps of the words of a question, float32 ``[n, size, size]``, non-negative. Raises
    UserError for a method that cannot explain words.
    """
    asked = captioner, question.image, question.word_ids, question.positions
    if is_traced(name):
        return np.stack([fixations.heatmap() for fixations in word_evidence(*asked, method=name)])
    return np.stack(explained_words(name, *asked))
