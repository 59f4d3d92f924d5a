"""The maps that every method makes for the classes of a classifier, all through one door.

A method is built once for a classifier and then answers: which pixels speak for class c of image i?
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.recording import Recording, check_inputs
from gazeback.cnn_trace.tracer import Options, tracer_of
from gazeback.grounding.methods import check_methods, explained, is_traced
from gazeback.models.classifiers import Classifier

CENTRE, ACTIVATION = "center", "activation"
BASELINES = (CENTRE, ACTIVATION)
"""What is measured always: a point in the middle, and the channel sum of the last map, which no class
changes."""

AT_ONCE = {"top": 1, "discernible": 4}
"""How many images these methods trace at once: they keep many neurons."""

ClassMaps = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes images float32 [n, H, W, C] as the model reads them and classes int [n]; answers float32 [n, H, W],
nowhere negative."""


def chosen_methods(names: str) -> list[str]:
    """The names between commas, each once, and the baselines behind them. Raises UserError."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    others = [name for name in chosen if name not in BASELINES]
    if others or not chosen:
        check_methods(others)
    return list(dict.fromkeys([*chosen, *BASELINES]))


def build_class_maps(name: str, classifier: Classifier) -> ClassMaps:
    """The method of that name, ready for questions to this classifier. Raises UserError."""
    if name == CENTRE:
        return centre_maps
    if name == ACTIVATION:
        return lambda pixels, classes: _one_by_one(name, classifier, pixels, classes)
    check_methods([name])
    if is_traced(name):
        return _Traced(name, classifier)
    return lambda pixels, classes: _one_by_one(name, classifier, pixels, classes)


def centre_maps(pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Points at the middle and knows nothing more: the map is even, so its energy is the share of area."""
    n, height, width = pixels.shape[:3]
    even = np.ones((n, height, width), np.float32)
    even[:, height // 2, width // 2] += 1e-3  # the maximum, and too little to matter for the energy
    return even


def traced_points(
    name: str, classifier: Classifier, pixels: np.ndarray, classes: np.ndarray
) -> list[Fixations]:
    """The points of a method of the core for classes int [n] of images [n, H, W, C]."""
    tracer, found = tracer_of(classifier.model), []
    size = AT_ONCE.get(name, len(classes))
    for start in range(0, len(classes), max(size, 1)):
        part = slice(start, start + size)
        arrays = check_inputs(tracer.graph, pixels[part])
        start_at = _constant(classes[part, None, None])
        explained_part = tracer.explain(arrays, tracer.target(), start_at, Options(method=name))
        found += [of_image[0] for of_image in explained_part.fixations]
    return found


def _constant(neurons: np.ndarray) -> Callable[[Recording], np.ndarray]:
    """The same neurons, whatever the model answers."""
    return lambda _: neurons


@dataclass(frozen=True, eq=False)
class _Traced:
    """A method of the core: points, and their heat map."""

    name: str
    classifier: Classifier

    def __call__(self, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        points = traced_points(self.name, self.classifier, pixels, np.asarray(classes))
        return np.stack([fixations.heatmap() for fixations in points]).astype(np.float32)


def _one_by_one(name: str, classifier: Classifier, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A registered method: one class of one image at a time."""
    maps = [
        explained(name, classifier.model, image, [int(target)])[0]
        for image, target in zip(pixels, classes, strict=True)
    ]
    return np.stack(maps)
