"""Trace the words of a caption with one forward pass of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.fixations import Fixations, against_others
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.head import Decomposition, handoff_maps, read_to_embeddings, to_embeddings
from gazeback.cnn_trace.recording import Recording
from gazeback.cnn_trace.tracer import Options, Traced, Tracer, tracer_of
from gazeback.models.caption_generator import NO_WORD, CaptionGenerator, Reading

OTHERS = 0.5
"""The share of the other words' mean evidence that is subtracted from a word's: chosen on training photos."""


@dataclass(frozen=True)
class TracedWords:
    """The evidence and contributions of some words of a caption of n words.

    Attributes:
        fixations: one for each position, in pixels of the model's input.
        contributions: float64 ``[n, n]``: row j, column k < j is the contribution of word k to the logit of
            word j. NaN if no rule leads to the words; None if the method has no exact head.
    """

    fixations: list[Fixations]
    contributions: np.ndarray | None


class WordTracer:
    """Traces the words of captions of one image by one method.

    Args:
        captioner: the caption generator.
        image: float32 ``[h, w, 3]``, RGB, 0 to 255.
        method: one of the core's.
        options: of the method, see :class:`gazeback.cnn_trace.tracer.Options`.
        closer: the same image at twice the size, for a second look; by default the image is enlarged.
    """

    def __init__(
        self,
        captioner: CaptionGenerator,
        image: np.ndarray,
        method: str,
        options: dict[str, Any],
        closer: np.ndarray | None = None,
    ) -> None:
        self.captioner, self.pixels, self.given, self.closer = captioner, image, options, closer
        self.image = captioner.model_input(np.asarray(image, np.float32)[None])
        layer = captioner.features_layer
        # The reference is the mean of that map; other maps may follow, such as a pooled one.
        reference = None if layer is None else captioner.mean_features
        self.options = Options.of(method=method, reference=reference, **{"handoff": layer, **options})
        self._seen: dict[Tracer, Recording] = {}

    @property
    def features(self) -> np.ndarray:
        """The last map, float32 ``[1, h, w, C]``."""
        tracer = tracer_of(self.captioner.model)
        return self._first_look(tracer)[self._map(tracer)]

    def using(self, method: str) -> WordTracer:
        """A tracer of the same image by another method; itself for its own method.

        The second look and the finer maps are evidence's own: another method beside it does without them.
        """
        if method == self.options.method:
            return self
        given = {name: value for name, value in self.given.items() if name not in ("looks", "finer")}
        return WordTracer(self.captioner, self.pixels, method, given, self.closer)

    def explain(self, ids: Sequence[int], positions: Sequence[int]) -> TracedWords:
        """Trace the logits of the words at some positions; words of one reading share one walk.

        A word's evidence is compared with that of all other words, so all are traced.
        """
        asked_for, others = positions, self.options.others
        if self.options.method == "evidence":
            positions, others = range(len(ids)), OTHERS if others is None else others
        found: dict[int, Fixations] = {}
        contributions: np.ndarray | None = None
        for reading in self.captioner.readings(ids):
            asked = reading.about(positions)
            if not asked.positions:
                continue
            tracer = tracer_of(asked.model)
            traced = self._traced(tracer, asked)
            found |= dict(zip(asked.positions, traced.fixations[0], strict=True))
            if traced.decomposition is not None:
                if contributions is None:
                    contributions = np.zeros((len(ids), len(ids)))
                contributions[list(asked.positions)] = _of_words(tracer, asked, traced, len(ids))
        fixations = dict(zip(found, against_others(list(found.values()), others or 0), strict=True))
        return TracedWords([fixations[position] for position in asked_for], contributions)

    def _traced(self, tracer: Tracer, asked: Reading) -> Traced:
        targets = [tracer.target(output=output) for output in asked.outputs]
        also = read_to_embeddings(tracer.graph, targets, self.options.selection)
        return tracer.explain(
            self._arrays(tracer, asked.words),
            targets,
            lambda recording: asked.neurons[None],
            self.options,
            frozenset(also if self.options.has_head else ()),
            known=self._first_look(tracer),
            closer=self._closer(tracer, asked.words),
        )

    def _closer(self, tracer: Tracer, words: np.ndarray) -> list[np.ndarray] | None:
        if self.options.looks == 1 or self.closer is None:
            return None
        images = self.captioner.model_input(np.asarray(self.closer, np.float32)[None])
        return [images if t in tracer.graph.image_inputs else words for t in tracer.graph.inputs]

    def _first_look(self, tracer: Tracer) -> Recording:
        """Run the forward pass up to the last map, or the last maps of several paths, once for each model."""
        if tracer not in self._seen:
            self._seen[tracer] = self._recorded(tracer, self.image)
        return self._seen[tracer]

    def _recorded(self, tracer: Tracer, images: np.ndarray) -> Recording:
        words = np.zeros((1, 1), np.int32)
        arrays = [images if t in tracer.graph.image_inputs else words for t in tracer.graph.inputs]
        maps = handoff_maps(tracer.graph, tracer.target(), self.captioner.features_layer)
        return tracer.first_recording(arrays, maps, self.options)

    def _map(self, tracer: Tracer) -> Tensor:
        if self.captioner.features_layer is None:
            return tracer.graph.image_inputs[0]
        return tracer.target(self.captioner.features_layer)

    def _arrays(self, tracer: Tracer, words: np.ndarray) -> list[np.ndarray]:
        images = tracer.graph.image_inputs
        return [self.image if tensor in images else words for tensor in tracer.graph.inputs]


def look_together(tracers: Sequence[WordTracer]) -> None:
    """Run the first forward pass of several images, each with a tracer of the same kind, as one.

    A model that reads a fixed number of images reads them one by one later.
    """
    first = tracers[0]
    tracer = tracer_of(first.captioner.model)
    if len(tracers) > 1 and reads_batches(first.captioner.model):
        images = np.concatenate([one.image for one in tracers])
        for one, recording in zip(tracers, first._recorded(tracer, images).of_images(), strict=True):
            one._seen[tracer] = recording


def reads_batches(model: keras.Model) -> bool:
    """Whether a model reads any number of images at once."""
    return all(tensor.shape[0] is None for tensor in model.inputs)


def _of_words(tracer: Tracer, asked: Reading, traced: Traced, words: int) -> np.ndarray:
    """The contribution of each of the caption's words to each answer, float64 ``[answers, words]``."""
    head, recording = traced.decomposition, traced.recording
    assert head is not None
    rows = np.arange(len(asked.positions)) if len(asked.words) > 1 else np.zeros(len(asked.positions), int)
    total = np.zeros((len(rows), words))
    for tensor, coefficients in _embeddings(tracer, recording, head, rows).items():
        value = recording[tensor]
        products = coefficients * (value[rows] if len(value) > 1 else value)
        read = columns_read(tracer, tensor, asked)
        if read is None:
            total[:] = np.nan
        elif len(read):
            products = products.reshape(len(rows), len(read), -1).sum(axis=-1, dtype=np.float64)
            word = np.where(read >= 0, asked.columns[:, read], NO_WORD)[rows]
            for row, place in zip(*np.nonzero(word >= 0), strict=True):
                total[row, word[row, place]] += products[row, place]
    return np.where(np.arange(words) < np.array(asked.positions)[:, None], total, 0.0)


def _embeddings(
    tracer: Tracer, recording: Recording, head: Decomposition, rows: np.ndarray
) -> dict[Tensor, np.ndarray]:
    """The coefficients on the embeddings, or on the tensors nearest to them that rules reach."""
    try:
        return to_embeddings(tracer.graph, recording, head, rows).others
    except TraceError:  # a layer that works otherwise than its rule expects: pixels do not depend on it
        return head.others


def columns_read(tracer: Tracer, tensor: Tensor, asked: Reading) -> np.ndarray | None:
    """The column of the words' input that each position of an embedding was looked up from, int
    ``[positions]``.

    ``NO_WORD`` if it was no column. Empty if the tensor does not read the words. None if it is not an
    embedding, so that its positions are not words.
    """
    graph = tracer.graph
    if tensor.call is None or not graph.inputs_of(tensor) - set(graph.image_inputs):
        return np.zeros(0, int)
    if tensor.call.depends_on_embedding or not tensor.call.inputs:
        return None
    numbers, length = tensor.call.inputs[0], asked.words.shape[1]
    coded = [_value(tracer, numbers, np.arange(length) + shift) for shift in (0, length)]
    moved = (coded[1] - coded[0] == length) & (coded[0] >= 0) & (coded[0] < length)
    return np.where(moved, coded[0], NO_WORD).reshape(-1).astype(int)


def _value(tracer: Tracer, tensor: Tensor, words: np.ndarray) -> np.ndarray:
    """The value of a tensor that depends on the words alone, for one row of words."""
    graph = tracer.graph
    blank = [np.zeros((1, *(side or 1 for side in t.shape[1:])), np.float32) for t in graph.inputs]
    arrays = [
        x if t in graph.image_inputs else words[None].astype(t.dtype)
        for t, x in zip(graph.inputs, blank, strict=True)
    ]
    return tracer.record(arrays, {tensor})[tensor]
