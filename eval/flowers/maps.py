"""Compute the maps of methods for flowers, as published and with other settings.

Two settings are chosen for every method. A blur is needed because some maps are fine lines, and the mask is a
region. A power is needed because some maps are peaked, and the thresholds are evenly spaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from gazeback.cnn_trace.fixations import DEFAULT_BLUR, SPREAD_BLUR, Fixations
from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.eval.flowers.flowers import SEEDS, flowers
from gazeback.eval.subjects.methods import CENTRE, EVIDENCE, class_maps, class_points
from gazeback.grounding.methods import check_methods, is_traced
from gazeback.models.classifiers import Classifier

Setting = Mapping[str, Any]

Maps = Callable[[np.ndarray, np.ndarray], list[np.ndarray]]
"""Takes pictures float32 [n, H, W, 3] and classes int32 [n]; returns for each setting maps float32 [n, H, W],
non-negative."""

IMAGE, FILTER = "image", "filter"

BLURS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.06)
"""Standard deviations of a Gaussian, as fractions of the diagonal."""

POWERS = (1.0, 0.5, 0.33, 0.2, 0.1)
"""Powers to which a map is raised: evenly spaced thresholds favour flat maps."""

SHARES, REFERENCES = (0.6, 0.9), ("zero", "mean")
"""Settings of evidence: the fraction that is walked down, and the reference map."""

RADII = tuple(round(0.1 + 0.05 * step, 2) for step in range(9))

AVERAGED = 48
"""The number of training pictures in the mean map."""


def settings_of(name: str) -> tuple[Setting, ...]:
    """The settings of a method; the first is as published."""
    if name == IMAGE:
        return ({},)
    if name == CENTRE:
        return tuple({"radius": radius} for radius in RADII)
    shapes = [{"blur": blur, "power": power} for power, blur in product(POWERS, _blurs(name))]
    if name == EVIDENCE:
        asked = [{"share": share, "reference": which} for which, share in product(REFERENCES, SHARES)]
        return tuple({**one, **shape} for one, shape in product(asked, shapes))
    return tuple(shapes)


def _blurs(name: str) -> list[float]:
    """The blurs of a method, its default first; points need a blur to make a map."""
    if not is_traced(name):
        return list(BLURS)
    default = SPREAD_BLUR if name == EVIDENCE else DEFAULT_BLUR
    return [default, *(blur for blur in BLURS[1:] if blur != default)]


def build_maps(name: str, classifier: Classifier, kind: str) -> Maps:
    """Build the method of that name for a network that classifies flowers of this kind.

    Names are those of all methods of gazeback, where ``"center"`` is a disc in the middle; ``"image"``, the
    whole picture; and ``"filter"``, the upsampled activations of the filter of the last map that contributes
    most to the class. Raises UserError.
    """
    if name == IMAGE:
        return lambda pixels, classes: [np.ones(pixels.shape[:3], np.float32)]
    if name == CENTRE:
        return lambda pixels, classes: [_discs(pixels.shape[:3], radius) for radius in RADII]
    if name == FILTER:
        return partial(_blurred_of, name, partial(strongest_filter, classifier))
    check_methods([name])
    if name == EVIDENCE:
        return partial(_evidence, classifier, mean_map(classifier, kind))
    if is_traced(name):
        return partial(_traced, name, classifier)
    return partial(_blurred_of, name, partial(class_maps, name, classifier.model))


def strongest_filter(classifier: Classifier, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Compute the map of the filter that contributes most to each picture's class, float32 ``[n, H, W]``.

    The contribution of a filter is the sum over the last map of the activation times the logit's gradient.
    """
    query = Query.of(classifier.model, pixels, classes)
    last = query.map_of(None)
    answer = ask(query, [last])
    best = (answer.values[0] * answer.gradients[0]).sum(axis=(1, 2)).argmax(axis=1)
    maps = answer.values[0][np.arange(len(best)), :, :, best].astype(np.float32)
    return upsampled(maps, *pixels.shape[1:3])


def mean_map(classifier: Classifier, kind: str) -> np.ndarray:
    """Compute the mean last map over the first training pictures, float32 ``[h, w, channels]``."""
    drawn = flowers(kind, SEEDS["train"], range(AVERAGED))
    query = Query.of(classifier.model, np.stack([each.image for each in drawn]).astype(np.float32))
    mean: np.ndarray = ask(query, [query.map_of(None)]).values[0].mean(axis=0, dtype=np.float32)
    return mean


def _discs(shape: Sequence[int], radius: float) -> np.ndarray:
    n, height, width = shape
    y, x = np.ogrid[:height, :width]
    away = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return np.repeat((away <= radius).astype(np.float32)[None], n, axis=0)


def _blurred_of(
    name: str, explain: Callable[..., np.ndarray], pixels: np.ndarray, classes: np.ndarray
) -> list[np.ndarray]:
    maps = np.maximum(explain(pixels, classes), 0)
    blurred = {blur: _blurred(maps, blur) for blur in BLURS}
    return [_raised(blurred[setting["blur"]], setting["power"]) for setting in settings_of(name)]


def _blurred(maps: np.ndarray, blur: float) -> np.ndarray:
    sigma = blur * float(np.hypot(*maps.shape[1:]))
    return gaussian_filter(maps, (0, sigma, sigma), mode="constant") if sigma else maps


def _raised(maps: np.ndarray, power: float) -> np.ndarray:
    """Divide each map by its maximum and raise it to a power; tiny values stay distinct."""
    peaks = maps.max(axis=(1, 2), keepdims=True)
    shares = np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
    return (shares**power).astype(np.float32)


def _evidence(
    classifier: Classifier, mean: np.ndarray, pixels: np.ndarray, classes: np.ndarray
) -> list[np.ndarray]:
    references = {"zero": None, "mean": mean}
    found = []
    for which, share in product(REFERENCES, SHARES):
        found += _traced(EVIDENCE, classifier, pixels, classes, share=share, reference=references[which])
    return found


def _traced(
    name: str, classifier: Classifier, pixels: np.ndarray, classes: np.ndarray, **options: Any
) -> list[np.ndarray]:
    points = class_points(name, classifier.model, pixels, classes[:, None], **options)
    fixations = [of_image[0] for of_image in points]
    blurred = {blur: _heat(fixations, blur) for blur in _blurs(name)}
    return [_raised(blurred[blur], power) for power, blur in product(POWERS, _blurs(name))]


def _heat(fixations: Sequence[Fixations], blur: float) -> np.ndarray:
    return np.stack([one.heatmap(blur * float(np.linalg.norm(one.shape))) for one in fixations])
