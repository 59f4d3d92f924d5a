"""``trace``: which pixels an answer of a Keras model came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.evidence import Evidence
from gazeback.cnn_trace.fixations import Fixations, merged, resized
from gazeback.cnn_trace.graph import Graph, Tensor, flatten
from gazeback.cnn_trace.head import (
    Decomposition,
    decompose,
    handoff_maps,
    net_per_location,
    read_by_head,
    strongest,
)
from gazeback.cnn_trace.recording import Recorder, Recording, check_inputs, shapes_of
from gazeback.cnn_trace.rules.activation import is_output_activation
from gazeback.cnn_trace.rules.kernels import weights
from gazeback.cnn_trace.rules.table import find_rule
from gazeback.cnn_trace.selection import CNNFixations, WeightedFixations
from gazeback.cnn_trace.walk import neuron_start, read_by_walk, walk

METHODS = ("evidence", "fixations")

Neurons = Callable[[Recording], np.ndarray]


@dataclass(frozen=True)
class Options:
    """How to trace.

    Attributes:
        method: ``"evidence"`` (ours) or ``"fixations"`` (*CNN Fixations*, IEEE TIP 2018).
        location: where in a window the walk goes on: ``"same"`` (its centre) or ``"argmax"``.
        fc_to_spatial: fixations, dense over a flattened map: ``"argmax"`` or ``"all"``.
        share: evidence: the share of the net relevance whose neurons are walked down, in (0, 1].
        reference: evidence: the average picture's map that relevance is counted against: None (zero), a
            vector ``[channels]`` or a map ``[height, width, channels]``.
        handoff: evidence: the layer at whose map the head ends; by default the last map.
    """

    method: str = "evidence"
    location: Any = "same"
    fc_to_spatial: Any = "argmax"
    share: float = 0.6
    reference: np.ndarray | None = None
    handoff: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise TraceError(f"unknown method {self.method!r}; choose one of {', '.join(METHODS)}")
        if not 0 < self.share <= 1:
            raise TraceError(f"share must be above 0 and at most 1, got {self.share}")
        _ = self.selection

    @property
    def selection(self) -> CNNFixations:
        """The selection that the walk uses."""
        kind = WeightedFixations if self.method == "evidence" else CNNFixations
        return kind(location=self.location, fc_to_spatial=self.fc_to_spatial)


@dataclass(frozen=True)
class Traced:
    """Everything that one trace worked out.

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
    """A model made ready for tracing: its flat graph and its compiled forward passes.

    :func:`trace` makes one for each model and keeps it; make one yourself to ask several questions at once.
    """

    def __init__(self, model: keras.Model) -> None:
        self.graph: Graph = flatten(model, lambda operation: find_rule(operation) is not None)
        self._recorders: dict[tuple[frozenset[Tensor], frozenset[Tensor]], Recorder] = {}

    def target(self, layer: str | None = None, output: int = 0) -> Tensor:
        """The tensor on which questions start: a layer's output, or the model's with a final softmax taken
        off."""
        if layer is not None:
            return self.graph.calls_of(layer)[-1].outputs[0]
        tensor = self.graph.outputs[output]
        while tensor.call is not None and is_output_activation(tensor.call):
            tensor = tensor.call.inputs[0]
        return tensor

    def explain(
        self,
        arrays: list[np.ndarray],
        target: Tensor,
        neurons: Neurons,
        options: Options,
        also: frozenset[Tensor] = frozenset(),
        known: Recording | None = None,
    ) -> Traced:
        """Trace the same number of neurons of one tensor for every image, in one forward pass.

        Args:
            arrays: one array per model input, batch first (see :func:`recording.check_inputs`).
            target: where the questions start.
            neurons: chooses them from the recording: int ``[images, questions, rank - 1]``, coordinates on
                the target without the batch axis.
            options: how to trace.
            also: further tensors to record.
            known: an earlier recording of the same images (see :meth:`first_recording`).
        """
        if not self.graph.image_inputs:
            raise TraceError(
                f"model {self.graph.name!r} has no image input [n, height, width, channels]; its inputs are "
                f"{[list(t.shape) for t in self.graph.inputs]}"
            )
        if target.call is None or not target.call.depends_on_image:
            raise TraceError(f"{target.name!r} does not depend on an image: no pixel to trace it to")
        if options.method == "fixations" or (target.is_map and options.handoff is None):
            return self._published(arrays, target, neurons, options, also, known)
        return self._evidence(arrays, target, neurons, options, also, known)

    def _published(
        self,
        arrays: list[np.ndarray],
        target: Tensor,
        choose: Neurons,
        options: Options,
        also: frozenset[Tensor],
        known: Recording | None,
    ) -> Traced:
        recording = self.record(arrays, also | read_by_walk(self.graph, [target], options.selection), known)
        neurons = choose(recording)
        images, questions = neurons.shape[:2]
        flat = np.column_stack(
            [np.repeat(np.arange(images), questions), neurons.reshape(images * questions, -1)]
        )
        shape = recording.shapes[target]
        start = neuron_start(shape, flat, np.tile(np.arange(questions), images), questions)
        with weights(recording.weights):
            reached = walk(self.graph, recording, {target: start}, options.selection)
        return Traced(
            self._fixations(reached, recording, images, questions, None, options.selection.once),
            None,
            recording,
        )

    def _evidence(
        self,
        arrays: list[np.ndarray],
        target: Tensor,
        choose: Neurons,
        options: Options,
        also: frozenset[Tensor],
        known: Recording | None,
    ) -> Traced:
        selection = options.selection
        handoff = handoff_maps(self.graph, target, options.handoff)
        wanted = read_by_head(self.graph, target, handoff, selection)
        wanted |= read_by_walk(self.graph, list(handoff), selection)
        recording = self.record(arrays, also | wanted, known)
        neurons = choose(recording)
        images, questions = neurons.shape[:2]
        image = np.repeat(np.arange(images), questions)
        start = np.zeros((images * questions, *recording.shapes[target][1:]), np.float32)
        start[(np.arange(len(start)), *neurons.reshape(len(start), -1).T)] = 1
        with weights(recording.weights):
            head = decompose(self.graph, recording, target, start, image, handoff)
            handed, net = _hand_off(head, recording, image, questions, options)
            reached = walk(self.graph, recording, handed, selection)
        return Traced(
            self._fixations(reached, recording, images, questions, net, once=False), head, recording
        )

    def first_recording(
        self, arrays: list[np.ndarray], maps: frozenset[Tensor], options: Options
    ) -> Recording:
        """The forward pass up to some maps, with all that a walk from them reads.

        For questions that become known only after a look at the maps, such as the words of a caption that is
        still to be generated: pass the recording on to :meth:`explain`, and the CNN runs once.
        """
        return self.record(arrays, maps | read_by_walk(self.graph, list(maps), options.selection))

    def record(
        self,
        arrays: list[np.ndarray],
        wanted: set[Tensor] | frozenset[Tensor],
        known: Recording | None = None,
    ) -> Recording:
        """One forward pass that returns the wanted tensors; compiled at the first call for each set of them.

        What an earlier recording of the same images knows is not computed again.
        """
        before = (
            {} if known is None else {t: x for t, x in known.values.items() if t not in self.graph.inputs}
        )
        key = (frozenset(wanted), frozenset(before))
        if key not in self._recorders:
            ordered = [tensor for tensor in _in_order(self.graph) if tensor in wanted]
            self._recorders[key] = Recorder(self.graph, ordered, key[1])
        inputs = dict(zip(self.graph.inputs, arrays, strict=True))
        values, masks, recorded = self._recorders[key]({**inputs, **before})
        shapes = shapes_of(self.graph, tuple(x.shape[1:] for x in arrays), len(arrays[0]))
        if known is not None:
            recorded = known.weights
        return Recording({**inputs, **before, **values}, masks, shapes, recorded)

    def _fixations(
        self,
        reached: dict[Tensor, Evidence],
        recording: Recording,
        images: int,
        questions: int,
        net: np.ndarray | None,
        once: bool,
    ) -> list[list[Fixations]]:
        source = self.graph.image_inputs[0]
        _, height, width, _ = recording.shapes[source]
        shape = (height, width)
        evidence = reached.get(source, Evidence.of(np.zeros((0, 4)), np.zeros((0, questions))))

        def one(image: int, question: int) -> Fixations:
            points, weights = merged(*evidence.question(image, question), shape)
            if once:
                weights = np.ones(len(points))

            def at(layer: str) -> Evidence:
                return _at_layer(self.graph, reached, layer, image, question)

            relevance = None if net is None else net[image * questions + question]
            return Fixations(points, weights, shape, relevance, at)

        return [[one(image, question) for question in range(questions)] for image in range(images)]


def _in_order(graph: Graph) -> list[Tensor]:
    return [*graph.inputs, *(output for call in graph.calls for output in call.outputs)]


def _hand_off(
    head: Decomposition, recording: Recording, image: np.ndarray, questions: int, options: Options
) -> tuple[dict[Tensor, Evidence], np.ndarray]:
    """Steps 3 to 5 of docs/method.md: reference, net per location, the strongest neurons."""
    shares, nets = [], []
    for tensor, coefficients in head.maps.items():
        difference = recording[tensor] - _reference(options.reference, recording.shapes[tensor][1:])
        share, net = net_per_location(coefficients * difference[image])
        shares.append(share.reshape(len(share), -1))
        nets.append(net)
    mass = np.concatenate(shares, axis=1)
    ends = np.cumsum([share.shape[1] for share in shares])
    chosen = [strongest(row, options.share) for row in mass]
    owner = np.repeat(np.arange(len(mass)), [len(c) for c in chosen])
    flat = np.concatenate(chosen)
    weights = mass[owner, flat].astype(np.float64)
    weights /= np.maximum(np.bincount(owner, weights, len(mass)), 1e-30)[owner]
    handed = {}
    for tensor, start, end in zip(head.maps, ends - [s.shape[1] for s in shares], ends, strict=True):
        here = (flat >= start) & (flat < end)
        place = np.unravel_index(flat[here] - start, recording.shapes[tensor][1:])
        spread = np.zeros((int(here.sum()), questions))
        spread[np.arange(len(spread)), owner[here] % questions] = weights[here]
        handed[tensor] = Evidence.of(np.column_stack([image[owner[here]], *place]), spread)
    return handed, _combined(nets)


def _reference(reference: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if reference is None:
        return np.zeros(1, np.float32)
    reference = np.asarray(reference, np.float32)
    if reference.shape not in ((shape[-1],), shape):
        raise TraceError(
            f"the reference must have the shape [{shape[-1]}] or {list(shape)} of the hand-off map, "
            f"got {list(reference.shape)}"
        )
    return reference


def _combined(nets: list[np.ndarray]) -> np.ndarray:
    # Several hand-off maps: the finest grid, the others added to it.
    largest = max((net.shape[1:] for net in nets), key=lambda shape: shape[0] * shape[1])
    return np.sum([[resized(one, largest) for one in net] for net in nets], axis=0)


def _at_layer(
    graph: Graph, reached: dict[Tensor, Evidence], layer: str, image: int, question: int
) -> Evidence:
    parts = [reached[out] for call in graph.calls_of(layer) for out in call.outputs if out in reached]
    if not parts:
        raise TraceError(f"the walk did not pass layer {layer!r}")
    found = [part.question(image, question) for part in parts[-1:]]
    coordinates, weights = found[0]
    return Evidence(coordinates, weights, np.ones(len(weights), np.int8))


_tracers: WeakKeyDictionary[keras.Model, Tracer] = WeakKeyDictionary()


def tracer_of(model: keras.Model) -> Tracer:
    """The tracer of a model, made at the first call and kept as long as the model lives."""
    if model not in _tracers:
        _tracers[model] = Tracer(model)
    return _tracers[model]


def trace(
    model: keras.Model,
    images: Any,
    target: Any = None,
    layer: str | None = None,
    method: str = "evidence",
    *,
    output: int = 0,
    **options: Any,
) -> list[Any]:
    """Show which pixels an answer of any Keras model came from.

    Args:
        model: a built ``keras.Model``: functional, sequential, subclassed, nested at will.
        images: ``[n, height, width, channels]`` as the model expects them (preprocessed), or one image
            without the batch axis; for models with several inputs a list, tuple or dict of arrays.
        target: what is asked about. None: the strongest class of each image. An int: this class (or, with
            ``layer`` and a map, the strongest place of this channel). A tuple: one neuron, for example
            ``(row, column, channel)`` or ``(step, word)``. An integer array ``[n]``: one class per image. A
            list: several targets of one forward pass, each an int or a tuple.
        layer: start from this layer's output instead of the model's.
        method: ``"evidence"`` or ``"fixations"``.
        output: which output of the model, if it has several.
        options: see :class:`Options`: ``location``, ``fc_to_spatial``, ``share``, ``reference``, ``handoff``.

    Returns:
        One :class:`Fixations` per image; with a list of targets, one list of them per image.

    Raises:
        TraceError: an input, a target or an option that does not fit; MissingRule: a layer that no rule
            knows.
    """
    settings = Options(method=method, **options)
    tracer = tracer_of(model)
    arrays = check_inputs(tracer.graph, images)
    start = tracer.target(layer, output)
    asked = partial(_neurons, start, target)
    found = tracer.explain(arrays, start, asked, settings, frozenset([start])).fixations
    return found if isinstance(target, list) else [questions[0] for questions in found]


def _neurons(start: Tensor, target: Any, recording: Recording) -> np.ndarray:
    """int ``[images, questions, rank - 1]``: the neurons that a target names."""
    images = recording.shapes[start][0]
    if not np.isfinite(recording[start]).all():
        raise TraceError(
            f"{start.name!r} holds NaN or infinite values for this input: there is nothing to trace"
        )
    if isinstance(target, np.ndarray):
        if target.shape != (images,) or target.dtype.kind not in "iu":
            raise TraceError(
                f"an array of targets must hold one class index per image (int [{images}]), "
                f"got {target.dtype} {list(target.shape)}"
            )
        return np.stack([_neuron(start, int(t), recording)[i] for i, t in enumerate(target)])[:, None]
    targets: Sequence[Any] = target if isinstance(target, list) else [target]
    if not targets:
        raise TraceError("the list of targets is empty")
    return np.stack([_neuron(start, t, recording) for t in targets], axis=1)


def _neuron(start: Tensor, target: Any, recording: Recording) -> np.ndarray:
    """int ``[images, rank - 1]``: one target, for every image."""
    images, *shape = recording.shapes[start]
    if isinstance(target, tuple) or (target is not None and len(shape) == 1):
        neuron = np.atleast_1d(np.asarray(target))
        if neuron.dtype.kind not in "iu":
            raise TraceError(f"a target is an int, a tuple of ints or None, got {target!r}")
        if len(neuron) != len(shape) or (neuron < 0).any() or (neuron >= shape).any():
            raise TraceError(f"target {target!r} is out of range: {start.name!r} has the shape {shape}")
        return np.tile(neuron, (images, 1))
    values = recording[start]
    if target is not None:
        if not isinstance(target, int | np.integer):
            raise TraceError(f"a target is an int, a tuple of ints or None, got {target!r}")
        if not 0 <= target < shape[-1]:
            raise TraceError(f"target {target!r} is out of range: {start.name!r} has {shape[-1]} channels")
        values = np.where(np.arange(shape[-1]) == target, values, -np.inf)
    best = values.reshape(images, -1).argmax(axis=1)
    return np.stack(np.unravel_index(best, shape), axis=1)
