"""Forward passes that return the response of every filter, or the network's output without some filters.

The calls of the flat graph run one by one in a compiled function. The removed filters are an argument of this
function. So the network is not changed, and nothing is compiled again for another set of filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.recording import execute
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.autodiff import compiled
from gazeback.eval.baselines.backward import variables_of
from gazeback.eval.interpretation.layers import FilterLayer, filter_layers, offsets
from gazeback.models.captioner import Captioner
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.errors import UserError
from gazeback.models.photos import load_photo


@dataclass(frozen=True, eq=False)
class Network:
    """A Keras model with its preprocessing and its filters.

    last: for a captioner, the layer whose map is the output of interest; None for a classifier, whose output
    is logits.
    """

    model: keras.Model
    preprocess: Preprocessing
    last: str | None
    forward: Forward

    @classmethod
    def of(cls, source: Classifier | Captioner) -> Network:
        """The network of a classifier or a captioner. Raises UserError if it has no layer with maps."""
        if isinstance(source, Captioner):
            preprocess = Preprocessing(source.image_size, source.image_size)
            last: str | None = source.features_layer
        else:
            preprocess, last = source.preprocess, None
        tracer = tracer_of(source.model)
        answer = tracer.target(last)
        forward = Forward(tracer.graph, answer, filter_layers(tracer.graph, answer))
        return cls(source.model, preprocess, last, forward)

    def read(self, path: Path) -> np.ndarray:
        """Read a photo and preprocess it for the network. Raises PhotoError."""
        return self.preprocess(load_photo(path)).pixels


class Forward:
    """A network up to an output of interest.

    Args:
        graph: the flat model. answer: the output of interest: the logits, or a map.
        layers: the layers with filters (see `layers.filter_layers`); D is the number of all their filters.

    Raises:
        UserError: the output depends on other inputs than one image.
    """

    def __init__(self, graph: Graph, answer: Tensor, layers: Sequence[FilterLayer]) -> None:
        inputs = set(graph.inputs_of(answer))
        if len(inputs) != 1 or not inputs <= set(graph.image_inputs):
            names = ", ".join(sorted(tensor.name for tensor in inputs)) or "none"
            raise UserError(
                f"model {graph.name!r}: expected one image input before the answer, found {names}"
            )
        self.layers = tuple(layers)
        self.offsets = offsets(layers)
        self.filters = sum(layer.channels for layer in layers)
        self._answer, self._image = answer, inputs.pop()
        self._calls = graph.ancestors([answer])
        self._read = {tensor: layer for layer in layers for tensor in layer.tensors}
        self._images = keras.KerasTensor((None, *self._image.shape[1:]), self._image.dtype)
        self._variables = variables_of(self._calls)
        self._respond = compiled(self._responses, [self._images], self._variables)
        self._halves: dict[int, tuple[Any, Any]] = {}

    def responses(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute each filter's response and the network's output: float32 [n, D], and float32 [n, ...].

        `images` [n, ...] are as the model reads them. A response is the L2 norm over all locations (of all
        calls), as in Oramas et al. 2019, section 3.1, before the normalisation.
        """
        norms, answers = self._respond(self._given(images))
        return as_array(norms), as_array(answers)

    def ablated(self, images: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """Compute the network's outputs with some filters set to zero.

        `images` [n, ...] are as the model reads them; `removed` bool [sets, n, D] are the filters that are
        set to zero for each image. The layers before the first of these filters run once for all sets.
        Returns float32 [sets, n, ...].
        """
        before, after = self._split(np.asarray(removed.any(axis=(0, 1))))
        middle = list(before(self._given(images)))
        kept = (~removed).astype(np.float32)
        return np.stack([as_array(after(middle, one)) for one in kept])

    def _given(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(images, self._image.dtype)

    def _responses(self, images: Any) -> tuple[Any, Any]:
        values = {self._image: images}
        for call in self._calls:
            execute(call, values, (self._answer,))
        squares = [sum(_squares(tensor, values[tensor]) for tensor in layer.tensors) for layer in self.layers]
        return ops.sqrt(ops.concatenate(squares, axis=1)), ops.cast(values[self._answer], "float32")

    def _split(self, removed: np.ndarray) -> tuple[Any, Any]:
        """Split the network before the first layer with a removed filter; both parts are compiled once."""
        start = next(
            (
                place
                for place, call in enumerate(self._calls)
                for tensor in call.outputs
                if tensor in self._read and removed[self.offsets[self._read[tensor].name]].any()
            ),
            len(self._calls),
        )
        if start not in self._halves:
            self._halves[start] = self._compiled(start)
        return self._halves[start]

    def _compiled(self, start: int) -> tuple[Any, Any]:
        # A layer with a fused activation is two calls and runs as one: both must be on the same side.
        start -= start > 0 and self._calls[start - 1].part == "linear"
        first, rest = self._calls[:start], self._calls[start:]
        made = {self._image, *(tensor for call in first for tensor in call.outputs)}
        read = {self._answer, *(tensor for call in rest for tensor in call.inputs)}
        between = sorted(made & read, key=lambda tensor: tensor.name)

        def before(images: Any) -> list[Any]:
            values = {self._image: images}
            for call in first:
                execute(call, values, (self._answer,))
            return [values[tensor] for tensor in between]

        def after(middle: Sequence[Any], kept: Any) -> Any:
            values = dict(zip(between, middle, strict=True))
            for call in rest:
                execute(call, values, (self._answer,))
                for tensor in call.outputs:
                    if tensor in self._read and tensor in values:
                        values[tensor] = values[tensor] * self._mask(tensor, kept, values[tensor].dtype)
            return ops.cast(values[self._answer], "float32")

        middle = [keras.KerasTensor((None, *tensor.shape[1:]), tensor.dtype) for tensor in between]
        masks = keras.KerasTensor((None, self.filters), "float32")
        return (
            compiled(before, [self._images], self._variables),
            compiled(after, [middle, masks], self._variables),
        )

    def _mask(self, tensor: Tensor, kept: Any, dtype: Any) -> Any:
        """Turn float [n, D] into a factor of one tensor."""
        mask = kept[:, self.offsets[self._read[tensor].name]]
        shape = [1] * len(tensor.shape)
        shape[0], shape[_channel_axis(tensor)] = -1, mask.shape[1]
        return ops.cast(ops.reshape(mask, shape), dtype)


def _squares(tensor: Tensor, values: Any) -> Any:
    """Sums of squares over the locations: [n, channels]."""
    places = [axis for axis in range(1, len(tensor.shape)) if axis != _channel_axis(tensor)]
    return ops.sum(ops.square(ops.cast(values, "float32")), axis=places)


def _channel_axis(tensor: Tensor) -> int:
    return 1 if tensor.channels_first and len(tensor.shape) > 2 else len(tensor.shape) - 1
