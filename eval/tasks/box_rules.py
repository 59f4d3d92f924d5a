"""What each method answers about a batch of photos: two maps, and boxes by every rule it has.

The maps are those of the true class and of a wrong one; the boxes are of the true class. A rule has settings,
of which one is chosen on the tune part; so it makes one box for each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.tracer import Options, tracer_of
from gazeback.eval.data.formats import Batch
from gazeback.eval.metrics.boxes import blurred, centre_box, evidence_boxes, region_box, tight_box
from gazeback.eval.metrics.maps import Box
from gazeback.eval.subjects.classifier import AT_ONCE, CENTRE, centre_maps
from gazeback.grounding.methods import explained, is_traced
from gazeback.models.classifiers import Classifier

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)

SETTINGS: dict[str, tuple[dict[str, float], ...]] = {
    "evidence box": tuple({"threshold": threshold} for threshold in THRESHOLDS),
    "tight": ({},),
    "region": tuple({"blur": blur, "threshold": threshold} for blur in (0, 0.04) for threshold in THRESHOLDS),
    "centre": tuple({"share": round(0.4 + 0.05 * step, 2)} for step in range(13)),
}
"""The settings of each rule. blur: share of the diagonal, on top of the map's own; threshold: share of the
maximum; share: of the image's sides."""

EVIDENCE_BOX_SHARE = 0.9
"""How much of the net relevance is walked down for a box, which needs the whole object."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Maps float [height, width], nowhere negative, of the true class and a wrong one; boxes of the true
    class by rule, one for each of its settings."""

    heat: np.ndarray
    wrong_heat: np.ndarray
    boxes: Mapping[str, Sequence[Box]]


Method = Callable[[Batch, np.ndarray], list[Answer]]
"""Takes a batch and the wrong classes int [n]; answers one by one."""


def build_method(name: str, classifier: Classifier) -> Method:
    """The method of that name, ready for questions to this classifier."""
    if name == CENTRE:
        return _centre
    return _Traced(name, classifier) if is_traced(name) else _Registered(name, classifier)


def _regions(heat: np.ndarray) -> list[Box]:
    maps = {blur: blurred(heat, blur) for blur in {setting["blur"] for setting in SETTINGS["region"]}}
    return [region_box(maps[setting["blur"]], setting["threshold"]) for setting in SETTINGS["region"]]


@dataclass(frozen=True, eq=False)
class _Traced:
    """A method of the core: points, and their heat map."""

    name: str
    classifier: Classifier

    def __call__(self, batch: Batch, wrong: np.ndarray) -> list[Answer]:
        classes = np.stack([batch.labels, wrong], axis=1)
        answers = []
        for start in range(0, len(classes), AT_ONCE.get(self.name, len(classes))):
            part = slice(start, start + AT_ONCE.get(self.name, len(classes)))
            answers += self._answers(batch.pixels[part], classes[part])
        return answers

    def _answers(self, pixels: np.ndarray, classes: np.ndarray) -> list[Answer]:
        answers = []
        wide = self._wide(pixels, classes)
        for (true, other), of_box in zip(self._trace(pixels, classes), wide, strict=True):
            heat = true.heatmap()
            rules = of_box | {"tight": [tight_box(true)], "region": _regions(heat)}
            answers.append(Answer(heat, other.heatmap(), rules))
        return answers

    def _wide(self, pixels: np.ndarray, classes: np.ndarray) -> list[dict[str, list[Box]]]:
        """The boxes of the rule that only evidence has."""
        if self.name != "evidence":
            return [{} for _ in classes]
        traced = self._trace(pixels, classes[:, :1], share=EVIDENCE_BOX_SHARE)
        return [{"evidence box": evidence_boxes(fixations[0], THRESHOLDS)} for fixations in traced]

    def _trace(self, pixels: np.ndarray, classes: np.ndarray, **options: Any) -> list[list[Fixations]]:
        """Fixations `[image][class]` for the classes int [n, m]."""
        tracer = tracer_of(self.classifier.model)
        arrays = check_inputs(tracer.graph, pixels)
        settings = Options(method=self.name, **options)
        return tracer.explain(arrays, tracer.target(), lambda _: classes[..., None], settings).fixations


@dataclass(frozen=True, eq=False)
class _Registered:
    """A method that somebody registered: maps, one class of one image at a time."""

    name: str
    classifier: Classifier

    def __call__(self, batch: Batch, wrong: np.ndarray) -> list[Answer]:
        answers = []
        for pixels, classes in zip(batch.pixels, zip(batch.labels, wrong, strict=True), strict=True):
            heat, other = explained(self.name, self.classifier.model, pixels, [int(c) for c in classes])
            answers.append(Answer(heat, other, {"region": _regions(heat)}))
        return answers


def _centre(batch: Batch, wrong: np.ndarray) -> list[Answer]:
    """Points at the middle and knows nothing more: the map is even, so its energy is the share of area."""
    even = centre_maps(batch.pixels, batch.labels)[0]
    height, width = even.shape
    boxes = [centre_box((height, width), setting["share"]) for setting in SETTINGS["centre"]]
    return [Answer(even, even, {"centre": boxes}) for _ in batch.images]
