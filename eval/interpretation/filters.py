"""The filters of a model that features name: their layers, and their responses to images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import keras
import numpy as np

from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.recording import Recording, check_inputs
from gazeback.cnn_trace.tracer import Tracer, tracer_of
from gazeback.eval.interpretation.layers import FilterLayer, filter_layers
from gazeback.eval.interpretation.relevant import Feature
from gazeback.models.errors import UserError


@dataclass(frozen=True, eq=False)
class Filters:
    """Some filters of a model. They depend on one image, and on no other input, such as a captioner's words.

    answer: the output of interest after the filters: the logits, or the last map of an encoder. layers: all
    layers with filters, by name, in the order of the network. numbers: the sorted filters of each layer that
    is named.
    """

    tracer: Tracer
    answer: Tensor
    layers: Mapping[str, FilterLayer]
    numbers: Mapping[str, list[int]]

    @classmethod
    def of(cls, model: keras.Model, features: Iterable[Feature], last: str | None = None) -> Filters:
        """Find the filters of some features.

        Args:
            last: the layer whose map is the output of interest: for a captioner its ``features_layer``.

        Raises:
            UserError: the filters depend on several inputs, or there is no such filter; TraceError: no such
                layer.
        """
        tracer = tracer_of(model)
        answer = tracer.target(last)
        seen = tracer.graph.inputs_of(answer)
        if len(seen) != 1 or not seen <= set(tracer.graph.image_inputs):
            names = ", ".join(sorted(tensor.name for tensor in seen)) or "none"
            raise UserError(
                f"model {tracer.graph.name!r}: expected an answer that sees one image, it sees the inputs "
                f"{names}; of a captioner, name the layer of the last map"
            )
        layers = {layer.name: layer for layer in filter_layers(tracer.graph, answer)}
        numbers: dict[str, set[int]] = {}
        for feature in features:
            _check(feature, layers, tracer.graph)
            numbers.setdefault(feature.layer, set()).add(feature.filter)
        return cls(tracer, answer, layers, {layer: sorted(found) for layer, found in numbers.items()})

    @property
    def graph(self) -> Graph:
        """The flat model."""
        return self.tracer.graph

    @property
    def image(self) -> Tensor:
        """The input that the filters depend on."""
        return next(iter(self.graph.inputs_of(self.answer)))

    def tensor(self, layer: str) -> Tensor:
        """The tensor on which the filters of a layer are read; for a layer with several calls, that of its
        last call."""
        return self.layers[layer].tensors[-1]

    def place(self, layer: str) -> int:
        """The number of a layer among those with filters, from 1."""
        return list(self.layers).index(layer) + 1

    def arrays(self, images: np.ndarray) -> list[np.ndarray]:
        """One array for each input of the model: the images, and zeros for inputs that the filters do not
        depend on."""
        return check_inputs(
            self.graph,
            [
                images
                if tensor is self.image
                else np.zeros((len(images), *(side or 1 for side in tensor.shape[1:])), tensor.dtype)
                for tensor in self.graph.inputs
            ],
        )

    def values(self, images: np.ndarray) -> Recording:
        """The maps of all named layers for images ``[n, height, width, channels]``; one forward pass."""
        wanted = {self.tensor(layer) for layer in self.numbers}
        return self.tracer.record(self.arrays(images), wanted)


def _check(feature: Feature, layers: Mapping[str, FilterLayer], graph: Graph) -> None:
    if feature.layer not in layers:
        close = get_close_matches(feature.layer, layers, n=3, cutoff=0) or list(layers)[:3]
        raise UserError(
            f"model {graph.name!r} has no layer {feature.layer!r} with filters; close names: "
            f"{', '.join(close)}. The features may be those of another model"
        )
    channels = layers[feature.layer].channels
    if not 0 <= feature.filter < channels:
        raise UserError(
            f"layer {feature.layer!r} of model {graph.name!r} has the filters 0 to {channels - 1}, not "
            f"{feature.filter}: the features may be those of another model"
        )
