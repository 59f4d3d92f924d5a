"""Trace an answer of a Keras model to the pixels that it came from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from gazeback.cnn_trace import oversampling, second_look
from gazeback.cnn_trace.errors import TraceError, TraceWarning
from gazeback.cnn_trace.fixations import Fixations, against_others, merged, resized
from gazeback.cnn_trace.graph import Graph, Tensor, flatten
from gazeback.cnn_trace.head import Decomposition, decompose_all, finer_maps, handoff_maps, read_by_head
from gazeback.cnn_trace.layout import as_stored, channels_last, columns_last, mark_layouts, shape_last
from gazeback.cnn_trace.maps import mark_maps
from gazeback.cnn_trace.methods.evidence import hand_off, narrowed
from gazeback.cnn_trace.methods.options import METHODS, Options
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.recording import Recorder, Recording, check_inputs, shapes_of
from gazeback.cnn_trace.rules.activation import is_output_activation, kind, mark_final
from gazeback.cnn_trace.rules.kernels import weights
from gazeback.cnn_trace.rules.table import find_rule
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.targets import (
    check_finite,
    contrasted,
    named_neurons,
    start_coefficients,
    start_evidence,
)
from gazeback.cnn_trace.walk import read_by_walk, walk

__all__ = ["METHODS", "Options", "Traced", "Tracer", "trace", "tracer_of"]

Neurons = Callable[[Recording], np.ndarray]
# Before each hand-off map, those that narrow its net map, from coarse to fine.
Finer = dict[Tensor, list[Tensor]]


@dataclass(frozen=True)
class Traced:
    """The result of one trace.

    Attributes:
        fixations: ``[image][question]``.
        decomposition: the exact head, questions of all images one after another; None for the published
            methods.
        recording: the values of the forward pass that were read.
    """

    fixations: list[list[Fixations]]
    decomposition: Decomposition | None
    recording: Recording


class Tracer:
    """A model with its flat graph and compiled forward passes, ready for tracing.

    :func:`trace` makes one for each model and keeps it. Make one yourself to trace several questions at once.
    """

    def __init__(self, model: keras.Model) -> None:
        self.graph: Graph = flatten(model, lambda operation: find_rule(operation) is not None)
        mark_final(self.graph)
        mark_layouts(self.graph)
        mark_maps(self.graph)
        self._recorders: dict[tuple[frozenset[Tensor], frozenset[Tensor]], Recorder] = {}
        self._plans: dict[Any, tuple[frozenset[Tensor], Finer, frozenset[Tensor]]] = {}

    def target(self, layer: str | None = None, output: int | str = 0) -> Tensor:
        """The tensor on which questions start: a layer's output, or the model's output before a final
        softmax."""
        if layer is not None:
            return self.graph.call_of(layer).outputs[0]
        tensor = self.graph.output(output)
        while tensor.call is not None and is_output_activation(tensor.call):
            tensor = tensor.call.inputs[0]
        return tensor

    def check_start(self, tensor: Tensor) -> None:
        """Raise TraceError if no pixel can explain a tensor: no image comes in, or it depends on none."""
        if not self.graph.image_inputs:
            raise TraceError(
                f"model {self.graph.name!r} has no image input [n, height, width, channels]; its inputs are "
                f"{[list(t.shape) for t in self.graph.inputs]}"
            )
        if tensor.call is None or not tensor.call.depends_on_image:
            raise TraceError(f"{tensor.name!r} does not depend on an image: no pixel to trace it to")

    def explain(
        self,
        arrays: list[np.ndarray],
        target: Tensor | Sequence[Tensor],
        neurons: Neurons,
        options: Options,
        also: frozenset[Tensor] = frozenset(),
        known: Recording | None = None,
        closer: list[np.ndarray] | None = None,
    ) -> Traced:
        """Trace the same number of neurons for every image, in one forward pass.

        Args:
            arrays: one array per model input, batch first (see :func:`recording.check_inputs`). With a
                ``known`` recording of one image, the other inputs may have several rows. Then there is one
                question for each row, all about this image.
            target: where the questions start: one tensor, or one for each question.
            neurons: chooses them from the recording: int ``[images, questions, rank - 1]``, coordinates on
                the target without the batch axis.
            options: the options of the trace.
            also: further tensors to record.
            known: an earlier recording of the same images (see :meth:`first_recording`).
            closer: for a second look: the inputs with images of twice the height and width; by default the
                images are enlarged.
        """
        targets = (target,) if isinstance(target, Tensor) else tuple(target)
        for one in targets:
            self.check_start(one)
            if options.contrast:
                self._check_contrast(one, options.contrast)
                also |= {one}
        by_walk = not options.has_head or (targets[0].is_map and options.handoff is None)
        handoff, finer, wanted = self._plan(targets, by_walk, options, arrays)
        recording = self.record(arrays, wanted | also, known)
        chosen = neurons(recording)
        images, questions = chosen.shape[:2]
        image = np.repeat(np.arange(images), questions)
        rows = np.arange(questions) if recording.shapes[targets[0]][0] > images else image
        asked = _asked(targets, images, questions)
        with weights(recording.weights):
            head, nets = None, dict[Tensor, np.ndarray]()
            if by_walk:
                once = options.selection.once
                handed = {t: start_evidence(recording[t], chosen, once, rows, asked[t]) for t in asked}
            else:
                starts = {t: _start(recording, t, chosen, rows, options.contrast) for t in asked}
                starts = {t: k * asked[t].reshape(-1, *[1] * (k.ndim - 1)) for t, k in starts.items()}
                head = decompose_all(self.graph, recording, starts, rows, handoff)
                handed, nets = hand_off(
                    head, recording, image, questions, options.selection, options.reference
                )
                nets = narrowed(self.graph, recording, head, nets, image, finer)
            reached = walk(self.graph, recording, handed, options.selection)
        found = _Found(self.graph, recording.shapes, reached, nets, questions, options.selection)
        fixations = found.of_images(images)
        if options.looks == 2:
            if head is None:
                raise TraceError("looks=2 explains answers; a neuron of a map is explained with looks=1")
            seen = self._second_look(closer or second_look.enlarged(self.graph, arrays), head, image, options)
            fixations = [
                [second_look.both_looks(*looks) for looks in zip(*of_image, strict=True)]
                for of_image in zip(fixations, seen.of_images(images), strict=True)
            ]
        return Traced(fixations, head, recording)

    def _second_look(
        self, arrays: list[np.ndarray], head: Decomposition, image: np.ndarray, options: Options
    ) -> _Found:
        """What images of twice the size have for the answers of a head."""
        handoff, selection = frozenset(head.maps), options.selection
        wanted = handoff | read_by_walk(self.graph, list(handoff), selection)
        try:
            recording = self.record([x[: image[-1] + 1] for x in arrays], wanted, larger=handoff)
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise TraceError(
                f"looks=2: model {self.graph.name!r} cannot read images of twice the size ({reason}); "
                "use looks=1"
            ) from error
        questions = len(image) // (image[-1] + 1)
        reference = second_look.of_vector(options.reference)
        with weights(recording.weights):
            closer = second_look.closer_head(head, recording)
            handed, nets = hand_off(closer, recording, image, questions, selection, reference)
            reached = walk(self.graph, recording, handed, selection)
        return _Found(self.graph, recording.shapes, reached, nets, questions, selection)

    def _seen_with(self, tensors: Iterable[Tensor]) -> set[Tensor]:
        """The tensors that are known together with some tensors: the images, and everything that leads to
        them."""
        calls = self.graph.ancestors(tensors)
        return {*tensors, *self.graph.image_inputs, *(out for call in calls for out in call.outputs)}

    def _check_contrast(self, target: Tensor, contrast: str) -> None:
        """Raises TraceError unless the target holds several classes that can be compared."""
        if target.is_map:
            raise TraceError(
                f"contrast compares the classes of an answer; {target.name!r} is a map with height and width"
            )
        if target.shape[1 if target.channels_first and len(target.shape) > 2 else -1] == 1:
            raise TraceError(f"contrast compares an answer with the others; {target.name!r} has only one")
        for call in self.graph.calls:
            if target in call.inputs and is_output_activation(call):
                axis = getattr(call.operation, "axis", -1)
                if axis not in (-1, len(target.shape) - 1) and not target.channels_first:
                    raise TraceError(
                        f"contrast compares classes along the last axis of {target.name!r}; the model's "
                        f"softmax is along axis {axis}"
                    )
                if kind(call) == "sigmoid" and contrast == "likely":
                    raise TraceError(
                        'contrast "likely" takes the classes to exclude each other, which those of a sigmoid '
                        'do not; choose "mean" or "strongest"'
                    )

    def _plan(
        self, targets: tuple[Tensor, ...], by_walk: bool, options: Options, arrays: list[np.ndarray]
    ) -> tuple[frozenset[Tensor], Finer, frozenset[Tensor]]:
        """Find where the walk starts, which maps narrow it and which tensors are read; once for each kind of
        question."""
        shapes = self._shapes(arrays)
        sizes = tuple(shapes[tensor] for tensor in self.graph.image_inputs)
        key = (targets, by_walk, options.handoff, options.selection, options.narrowing, sizes)
        if key not in self._plans:
            handoff, finer, wanted = frozenset(targets), {}, set(targets)
            if not by_walk:
                handoff = frozenset().union(*(handoff_maps(self.graph, t, options.handoff) for t in targets))
                read = (read_by_head(self.graph, t, handoff, options.selection) for t in targets)
                finer = self._finer(handoff, shapes, options)
                wanted = set().union(*read, self._read_by_finer(finer, options))
            wanted |= read_by_walk(self.graph, list(handoff), options.selection)
            self._plans[key] = handoff, finer, frozenset(wanted)
        return self._plans[key]

    def _shapes(self, arrays: list[np.ndarray]) -> dict[Tensor, tuple[int, ...]]:
        return shapes_of(self.graph, tuple(x.shape[1:] for x in arrays), 1)

    def _finer(
        self, maps: frozenset[Tensor], shapes: dict[Tensor, tuple[int, ...]], options: Options
    ) -> Finer:
        return {tensor: finer_maps(self.graph, tensor, shapes, options.narrowing) for tensor in maps}

    def _read_by_finer(self, finer: Finer, options: Options) -> set[Tensor]:
        """The tensors whose values are read between maps and the finer ones before them."""
        read = set[Tensor]()
        for tensor, before in finer.items():
            if before:
                read |= {
                    *before,
                    *read_by_head(self.graph, tensor, frozenset(before[-1:]), options.selection),
                }
        return read

    def first_recording(
        self, arrays: list[np.ndarray], maps: frozenset[Tensor], options: Options
    ) -> Recording:
        """Run the forward pass up to some maps, and record everything that a trace from them reads.

        Use it if the questions depend on the maps, such as the words of a caption that is generated from
        them. Pass the recording to :meth:`explain`, so that the CNN runs only once.
        """
        wanted = maps | read_by_walk(self.graph, list(maps), options.selection)
        finer = self._finer(maps, self._shapes(arrays), options)
        return self.record(arrays, wanted | self._read_by_finer(finer, options))

    def record(
        self,
        arrays: list[np.ndarray],
        wanted: set[Tensor] | frozenset[Tensor],
        known: Recording | None = None,
        larger: frozenset[Tensor] | None = None,
    ) -> Recording:
        """Run one forward pass that returns the wanted tensors; it is compiled at the first call for each set
        of tensors.

        Tensors in an earlier recording of the same images are not computed again.

        ``larger``: the last tensors to compute for images that are larger than the model's input.
        """
        before = (
            {} if known is None else {t: x for t, x in known.values.items() if t not in self.graph.inputs}
        )
        key = (frozenset(wanted), frozenset(before))
        if key not in self._recorders:
            ordered = [tensor for tensor in _in_order(self.graph) if tensor in wanted]
            self._recorders[key] = Recorder(self.graph, ordered, key[1])
        inputs = dict(zip(self.graph.inputs, arrays, strict=True))
        rows = max(map(len, arrays))
        values, recorded = self._recorders[key](
            {t: x if len(x) == rows else np.repeat(x, rows, axis=0) for t, x in {**inputs, **before}.items()}
        )
        shapes = shapes_of(self.graph, tuple(x.shape[1:] for x in arrays), rows, larger)
        if known is not None:
            recorded = known.weights
            shapes |= {tensor: known.shapes[tensor] for tensor in self._seen_with(before)}
        return Recording({**inputs, **before, **values}, shapes, recorded)


def _asked(targets: tuple[Tensor, ...], images: int, questions: int) -> dict[Tensor, np.ndarray]:
    """For each tensor, whether each question starts on it: bool ``[images * questions]``."""
    of = targets if len(targets) == questions else targets * questions
    return {t: np.tile([one is t for one in of], images) for t in dict.fromkeys(targets)}


def _start(
    recording: Recording, target: Tensor, neurons: np.ndarray, rows: np.ndarray, contrast: str | None
) -> np.ndarray:
    """The coefficients on a target: 1 on the neurons, minus the coefficients of the other classes."""
    start = start_coefficients(recording.shapes[target], neurons)
    if contrast is None:
        return start
    check_finite(target, recording)
    logits = channels_last(target, recording[target])[rows]
    return as_stored(target, contrasted(channels_last(target, start), logits, contrast))


def _in_order(graph: Graph) -> list[Tensor]:
    return [*graph.inputs, *(output for call in graph.calls for output in call.outputs)]


@dataclass(frozen=True)
class _Found:
    """The evidence of a walk for all images and questions, without the activations."""

    graph: Graph
    shapes: dict[Tensor, tuple[int, ...]]
    reached: dict[Tensor, Evidence]
    nets: dict[Tensor, np.ndarray]
    questions: int
    selection: CNNFixations

    def of_images(self, images: int) -> list[list[Fixations]]:
        """Return the fixations ``[image][question]``."""
        return [[self.fixations(i, q) for q in range(self.questions)] for i in range(images)]

    def fixations(self, image: int, question: int, source: Tensor | None = None) -> Fixations:
        """Return the fixations of one question on one image input, by default the first."""
        source = source or self.graph.image_inputs[0]
        _, *size, _ = shape_last(source, self.shapes[source])
        shape = tuple(size)
        found = self.evidence_on(source).question(image, question)
        points, weights = merged(*found, shape)
        net = self._net(source, image * self.questions + question)
        at = partial(self._at, image, question)
        at_input = partial(self._at_input, image, question)
        if self.selection.proportional:
            return Fixations.of_spread(points, weights, shape, net, _layers=at, _inputs=at_input)
        if self.selection.once:
            weights = np.ones(len(points))
        return Fixations(points, weights, shape, net, _layers=at, _inputs=at_input)

    def evidence_on(self, tensor: Tensor) -> Evidence:
        """Return the evidence on a tensor, the channel in the last column."""
        evidence = self.reached.get(tensor)
        if evidence is None:
            evidence = Evidence.of(np.zeros((0, len(tensor.shape))), np.zeros((0, self.questions)))
        return evidence.at(columns_last(tensor, evidence.coordinates))

    def _net(self, source: Tensor, row: int) -> np.ndarray | None:
        """The net relevance on the finest grid of the hand-off maps that depend on this input."""
        seen = [net[row] for tensor, net in self.nets.items() if source in self.graph.inputs_of(tensor)]
        if any(net.ndim != len(source.shape) - 2 for net in seen):
            return None  # the maps of single frames
        if not seen:
            return None
        largest = max((net.shape for net in seen), key=math.prod)
        total: np.ndarray = np.sum([resized(net, largest) for net in seen], axis=0)
        return total

    def _at(self, image: int, question: int, layer: str) -> Evidence:
        inputs = dict(zip(self.graph.input_names, self.graph.inputs, strict=True))
        if layer in inputs:
            passed = [inputs[layer]]
        else:
            reached = self.graph.applications(
                layer, lambda call: not self.reached.keys().isdisjoint(call.outputs)
            )
            if not reached:
                raise TraceError(f"the walk did not pass layer {layer!r}")
            calls = self.graph.only(layer, reached)
            passed = [out for call in calls for out in call.outputs if out in self.reached]
        coordinates, weights = self.evidence_on(passed[-1]).question(image, question)
        return Evidence(coordinates, weights, np.ones(len(weights), np.int8))

    def _at_input(self, image: int, question: int, name: str) -> Fixations:
        names = dict(zip(self.graph.input_names, self.graph.inputs, strict=True))
        images = [known for known, tensor in names.items() if tensor in self.graph.image_inputs]
        if name not in images:
            raise TraceError(f"model {self.graph.name!r} has the image inputs {images}, got {name!r}")
        return self.fixations(image, question, names[name])


def _tell_of_states(graph: Graph, start: Tensor) -> None:
    """Warn if the answer depends on a state that is given as an input: what it knows of the image is lost."""
    given = [tensor for tensor in graph.given_states if tensor in graph.inputs_of(start)]
    if given:
        names = ", ".join(repr(tensor.name) for tensor in given)
        warnings.warn(
            f"the state {names} is an input of model {graph.name!r}: evidence that came to it from an image "
            "is not traced; trace a model that computes the state from the image",
            TraceWarning,
            stacklevel=3,
        )


_tracers: WeakKeyDictionary[keras.Model, Tracer] = WeakKeyDictionary()


def tracer_of(model: keras.Model) -> Tracer:
    """The tracer of a model, made at the first call and kept as long as the model exists.

    It is made anew where weights have changed that entered the constants of its graph.
    """
    if model not in _tracers or not _tracers[model].graph.is_current:
        _tracers[model] = Tracer(model)
    return _tracers[model]


def trace(
    model: keras.Model,
    images: Any,
    target: Any = None,
    layer: str | None = None,
    method: str = "evidence",
    *,
    output: int | str = 0,
    oversample: bool = False,
    **options: Any,
) -> list[Any]:
    """Trace an answer of a Keras model to the pixels that it came from.

    Args:
        model: a built ``keras.Model``: functional, sequential, subclassed, nested at will.
        images: ``[n, height, width, channels]`` as the model expects them (preprocessed), or one image
            without the batch axis; signals ``[n, length, channels]``, volumes ``[n, depth, height, width,
            channels]`` and frames ``[n, frames, height, width, channels]`` alike. For models with several
            inputs a list, tuple or dict of arrays.
        target: the neuron to explain. None: the strongest class of each image. An int: this class (or, with
            ``layer`` and a map, the strongest location of this channel). A tuple: one neuron, for example
            ``(row, column, channel)`` or ``(step, word)``; ``(..., channel)``: a whole channel. An integer
            array ``[n]``: one class per image. A list: several targets of one forward pass, each an int or a
            tuple.
        layer: start from this layer's output instead of the model's; ``"conv#2"`` is the second of several
            calls.
        method: ``"evidence"``, ``"walk"``, ``"fixations"``, ``"top"`` or ``"discernible"``.
        output: the output of the model, if it has several, by number or name.
        oversample: trace the four corner crops and the centre crop of images larger than the model's input,
            and merge the results on the images (see ``oversampling``).
        options: see :class:`Options`: ``reference``, ``handoff``, ``contrast``, ``others``, ``neurons``,
            ``finer``, ``looks``, ``location``, ``fc_to_spatial``, ``share``, ``top``, ``top_k``, ``alphas``.

    Returns:
        One :class:`Fixations` per image; with a list of targets, one list of them per image.

    Raises:
        TraceError: an input, a target or an option that does not fit; MissingRule: a layer without a rule.
    """
    settings = Options.of(method=method, **options)
    tracer = tracer_of(model)
    start = tracer.target(layer, output)
    _tell_of_states(tracer.graph, start)
    if oversample:
        cut, offsets, shape = oversampling.crops(tracer.graph, images)
        asked = partial(oversampling.agreed_neurons, start, target)
        arrays = check_inputs(tracer.graph, cut)
        each = tracer.explain(arrays, start, asked, settings, frozenset([start])).fixations
        groups = [each[i : i + oversampling.CROPS] for i in range(0, len(each), oversampling.CROPS)]
        found = [
            [oversampling.united(list(parts), offsets, shape) for parts in zip(*group, strict=True)]
            for group in groups
        ]
    else:
        arrays = check_inputs(tracer.graph, images)
        asked = partial(named_neurons, start, target)
        found = tracer.explain(arrays, start, asked, settings, frozenset([start])).fixations
    if isinstance(target, list):
        return [against_others(questions, settings.others or 0) for questions in found]
    return [questions[0] for questions in found]
