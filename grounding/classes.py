"""Classify a photo, and trace classes or neurons to the photo."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from gazeback.cnn_trace import METHODS, Fixations, trace
from gazeback.cnn_trace.plots import layer_fixations, plot_layers
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.grounding.explanation import MAP_LONGEST, Explanation, on_photo, shows_whole_photo
from gazeback.grounding.methods import check_methods, explained, is_traced
from gazeback.models.classifiers import ArrayClassifier, Classifier, ModelInput
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo, load_photo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 5
NET_LONGEST = 64  # cells along the longer side of a net map that is moved to the photo

Neuron = tuple[int, ...]

Measure = Literal["probability", "activation", "value"]


@dataclass(frozen=True)
class Prediction:
    """One answer of the classifier: the class, its number, its probability. A regression's answer is its
    output, and ``probability`` its value."""

    name: str
    index: int
    probability: float
    regression: bool = False

    @property
    def value(self) -> float:
        return self.probability

    @property
    def measure(self) -> Measure:
        """What the value is."""
        return "value" if self.regression else "probability"


@dataclass(frozen=True)
class Target:
    """A class or a neuron that is explained.

    Attributes:
        name: shown to users.
        layer: the neuron's layer; None for a class.
        neuron: its coordinates there, such as (row, column, channel); for a class, (number,).
        value: the class's probability, the neuron's activation, or a regression's value.
        explanations: one per method, in their order.
        regression: whether the model is a regression.
    """

    name: str
    layer: str | None
    neuron: Neuron
    value: float
    explanations: tuple[Explanation, ...]
    regression: bool = False

    @property
    def measure(self) -> Measure:
        """What the value is."""
        if self.layer is not None:
            return "activation"
        return "value" if self.regression else "probability"


@dataclass(frozen=True, eq=False)
class TracedPhoto:
    """A photo, a classifier's answers, and the explanations of each target.

    Attributes:
        predictions: the most probable classes, best first.
        targets: the classes or neurons that are explained, those that were asked for first.
        methods: the methods, in order.
        prepared: the photo as the classifier reads it.
    """

    kind: ClassVar[Literal["classes"]] = "classes"
    """What the answers are, for those who write them."""

    photo: Photo
    classifier: Classifier
    prepared: ModelInput
    methods: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    targets: tuple[Target, ...]

    @property
    def model_name(self) -> str:
        return self.classifier.name

    def __getitem__(self, name: str) -> Target:
        """The target of this name, or one of its synonyms: ``traced["tabby"]``.

        Raises:
            UserError: no target has this name.
        """
        for target in self.targets:
            if name in (target.name, *target.name.split(", ")):
                return target
        raise UserError(f"no target {name!r}; the targets: {'; '.join(self._ipython_key_completions_())}")

    def _ipython_key_completions_(self) -> list[str]:
        return list(dict.fromkeys(target.name for target in self.targets))

    def _repr_html_(self) -> str:
        from gazeback.grounding.output.writer import notebook_html

        return notebook_html(self)

    def plot_layers(self, layers: Sequence[str], target: int = 0) -> Figure:
        """Draw the locations where the walk of one target passed some layers, for the first method with
        points.

        The figure is as Figure 5 of Mopuri et al. 2018; see :func:`gazeback.cnn_trace.plots.plot_layers`.

        Raises:
            TraceError: there is no such layer, or the walk did not pass it; UserError: no method walks.
        """
        seen = [one.on_input for one in self.targets[target].explanations if one.on_input is not None]
        if not seen:
            raise UserError(
                f"points at a layer: only a traced method has them, not {', '.join(self.methods)}"
            )
        shape = (self.photo.height, self.photo.width)
        found = {
            layer: layer_fixations(self.classifier.model, seen[0], layer).mapped(
                self.prepared.to_photo, shape
            )
            for layer in layers
        }
        return plot_layers(self.photo.pixels, found)

    def save(self, out: str | os.PathLike[str], layers: Sequence[str] = ()) -> dict[str, Path]:
        """Write STEM.html, STEM.png and STEM.json into a folder; returns their paths by kind.

        With ``layers`` also STEM-layers.png, see :meth:`plot_layers`.
        """
        from gazeback.grounding.output.writer import write_outputs

        return write_outputs(self, Path(out), Path(self.photo.name).stem, layers=layers)


def trace_photo(
    classifier: Classifier,
    photo: Any,
    targets: Iterable[Any] | None = None,
    methods: Sequence[str] = ("evidence",),
    *,
    layer: str | None = None,
    top: int = TOP,
    **options: Any,
) -> TracedPhoto:
    """Classify a photo and trace its classes to the photo; one forward pass per method.

    Args:
        classifier: from :func:`gazeback.models.load_classifier`.
        photo: a path, a Pillow image, a uint8 array ``[height, width, 3]`` or a loaded ``Photo``.
        targets: classes by name or number, explained besides the most probable ones. With ``layer``: neurons,
            each an int (the strongest location of this channel) or a tuple such as (row, column, channel); by
            default the layer's strongest neuron.
        methods: names out of :func:`gazeback.grounding.methods.known_methods`.
        layer: start from neurons of this layer instead of classes.
        top: how many of the most probable classes to predict and explain.
        options: for the core's methods, see :class:`gazeback.cnn_trace.tracer.Options`.

    Raises:
        UserError: a bad photo, class or method; TraceError: a layer, neuron or option that does not fit.
    """
    if top < 1:
        raise UserError(f"top: expected 1 class or more, got {top}")
    check_methods(methods)
    photo = photo if isinstance(photo, Photo) else load_photo(photo)
    prepared = classifier.preprocess(photo)
    session = Session(classifier, prepared.pixels, tuple(methods), options, prepared)
    best = session.best(top)
    if layer is None:
        indices = [classifier.class_index(target) for target in targets or ()]
        found = session.classes(list(dict.fromkeys([*indices, *(one.index for one in best)])))
    else:
        found = session.neurons(layer, list(targets or [None]))
    return TracedPhoto(photo, classifier, prepared, session.methods, best, found)


@dataclass(frozen=True)
class Session:
    """One input of a classifier and its targets.

    Attributes:
        values: float32, as the model reads them, without the batch axis.
        prepared: how a photo became the values; None for an array that is no photo.
    """

    classifier: Classifier | ArrayClassifier
    values: np.ndarray
    methods: tuple[str, ...]
    options: dict[str, Any]
    prepared: ModelInput | None = None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float32 ``[classes]``."""
        return self.classifier.probabilities(self.values[None])[0]

    def best(self, count: int) -> tuple[Prediction, ...]:
        order = np.argsort(-self.probabilities, kind="stable")[:count].tolist()
        return tuple(
            Prediction(self.classifier.class_names[i], i, float(self.probabilities[i]), self._regression)
            for i in order
        )

    @property
    def _regression(self) -> bool:
        return self.classifier.is_regression

    def classes(self, indices: list[int]) -> tuple[Target, ...]:
        by_method = [self._explain(method, indices, None) for method in self.methods]
        return tuple(
            Target(
                self.classifier.class_names[i],
                None,
                (i,),
                float(self.probabilities[i]),
                explanations,
                self._regression,
            )
            for i, explanations in zip(indices, zip(*by_method, strict=True), strict=True)
        )

    def neurons(self, layer: str, asked: list[Any]) -> tuple[Target, ...]:
        by_method = [self._explain(method, asked, layer) for method in self.methods]
        values = self._values(layer)
        found = []
        for target, explanations in zip(asked, zip(*by_method, strict=True), strict=True):
            neuron = _neuron(values, target)
            name = f"{layer}[{', '.join(map(str, neuron))}]"
            found.append(Target(name, layer, neuron, float(values[neuron]), explanations))
        return tuple(found)

    def _values(self, layer: str) -> np.ndarray:
        """A layer's output for the photo, without the batch axis."""
        tracer = tracer_of(self.classifier.model)
        tensor = tracer.target(layer)
        return tracer.record([self.values[None]], frozenset([tensor]))[tensor][0]

    def _explain(self, method: str, targets: list[Any], layer: str | None) -> list[Explanation]:
        """The explanations of one method, in the targets' order."""
        model, pixels, prepared = self.classifier.model, self.values, self.prepared
        if is_traced(method):
            found = trace(model, pixels[None], targets, layer, method, **self.options)[0]
            return [self._of_points(method, fixations) for fixations in found]
        if layer is not None:
            raise UserError(f"method {method!r} explains classes only; it cannot start from layer {layer!r}")
        if prepared is None:
            raise UserError(f"method {method!r} makes maps of photos; for an array take {', '.join(METHODS)}")
        return [
            Explanation(method, None, on_photo(heat, prepared, MAP_LONGEST))
            for heat in explained(method, model, pixels, targets)
        ]

    def _of_points(self, method: str, found: Fixations) -> Explanation:
        kept = found
        if (
            found.net is None and not found.is_spread
        ):  # as published; if points are few and far apart, all would be outliers
            kept = found.without_outliers()
            kept = kept if len(kept) else found
        prepared = self.prepared
        if prepared is None:
            return Explanation(method, kept, on_input=found)
        moved = kept.mapped(prepared.to_photo, prepared.photo_shape)
        if moved.net is not None and not shows_whole_photo(prepared):
            net = on_photo(moved.net, prepared, NET_LONGEST, beyond="nearest")
            moved = replace(moved, net=net)
        return Explanation(method, moved, on_input=found)


def _neuron(values: np.ndarray, target: Any) -> Neuron:
    """The coordinates that `trace` started from; it has checked that they fit."""
    if isinstance(target, tuple):
        return target
    if target is not None and values.ndim == 1:
        return (int(target),)
    if target is not None:
        values = np.where(np.arange(values.shape[-1]) == target, values, -np.inf)
    return tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))


def parse_neuron(text: str) -> int | Neuron:
    """Parse a neuron of the command line: "17" is a channel, "3,4,17" row, column and channel.

    Raises:
        UserError: the text is neither.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
        raise UserError(f"a neuron is a channel (17) or row,column,channel (3,4,17), got {text!r}")
    numbers = tuple(int(part) for part in parts)
    return numbers[0] if len(numbers) == 1 else numbers
