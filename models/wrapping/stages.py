"""The parts of a captioner's model: up to the last map, from there to the words, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import keras
import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.wrapping.graphs import Place, Subgraph, dependents, entry, nodes_before, places


class Stage:
    """Parts of functional graphs in sequence, compiled as one function of arrays.

    Args:
        functions: each takes the result of the one before; without any, the input is the result.
    """

    def __init__(self, functions: Sequence[Subgraph]) -> None:
        self._functions = _Functions(functions)
        self._programs: dict[tuple[tuple[int, ...], ...], _Program] = {}

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        if not self._functions.functions:
            return list(arrays)
        return [np.asarray(x) for x in self._program(arrays).predict_on_batch(list(arrays))]

    def _program(self, arrays: Sequence[np.ndarray]) -> _Program:
        """One for inputs of any size; where something is TimeDistributed, one for each size.

        Keras 3.15 runs that layer as often as there are rows where it does not know the number of steps.
        """
        sizes = tuple(x.shape[1:] for x in arrays) if self._functions.is_over_time else ()
        if sizes not in self._programs:
            self._programs[sizes] = _Program(self._functions)
            self._programs[sizes].compile(jit_compile=False)  # XLA's convolutions are slow on the CPU
        return self._programs[sizes]


class _Functions:
    # A plain object, so that Keras does not look for layers in it.
    def __init__(self, functions: Sequence[Subgraph]) -> None:
        self.functions = functions
        operations = [operation for function in functions for operation in function.operations]
        self.layers = list({id(x): x for x in operations if isinstance(x, keras.Layer)}.values())
        inner = (layer for outer in self.layers for layer in outer._flatten_layers())
        self.is_over_time = any(isinstance(layer, keras.layers.TimeDistributed) for layer in inner)


class _Program(keras.Model):
    def __init__(self, plan: _Functions) -> None:
        super().__init__(name="stage")
        self.sublayers = plan.layers  # tracked, so that every backend passes the current weights
        self._plan = plan
        self.built = True

    def call(self, inputs: list[Any], training: bool = False) -> list[Any]:
        for function in self._plan.functions:
            inputs = function(inputs)
        return inputs


@dataclass(frozen=True, eq=False)
class Stages:
    """The two parts of a captioner that read only the image.

    Attributes:
        layer: the path of the layer whose output is the last map that all evidence of the image passes; None
            where that is the image itself.
        shape: of that map without the batch axis.
        look: the image to the map.
        digest: the map to what meets the words, one array or several.
    """

    layer: str | None
    shape: tuple[int | None, ...]
    look: Stage
    digest: Stage

    @classmethod
    def of(cls, name: str, image: Any, met: Sequence[Any], wanted: str | None) -> Stages:
        """Cut a functional model into the parts that read only the image.

        Args:
            name: of the model, for messages.
            image: its input; ``met``: what meets the words.
            wanted: the layer of the map, or None.

        Raises:
            ModelError: there is no such layer, or it is no map, or evidence of the image gets around it.
        """
        if wanted is not None:
            place: Place | None = _named(name, list(places(image, met)), wanted)
        else:
            found = (p for p in places(image, met) if p.is_map and p.is_on_all_paths())
            place = next(found, None)
        if place is None:
            onward = [] if met[0] is image else [Subgraph([image], list(met))]
            return cls(None, tuple(image.shape[1:]), Stage([]), Stage(onward))
        look, digest = _around(place)
        return cls(place.path, tuple(place.tensor.shape[1:]), look, digest)


def meeting(image: Any, words: Any, scores: Any) -> list[Any]:
    """The tensors that depend on the image alone and are read by calls that also depend on the words."""
    nodes = nodes_before([scores])
    seen, read = dependents(nodes, [image]), dependents(nodes, [words])
    found = {
        id(x): x
        for node in nodes
        if any(id(y) in read for y in (*node.input_tensors, *node.outputs))
        for x in node.input_tensors
        if id(x) in seen and id(x) not in read
    }
    return list(found.values()) or [image]


def _named(name: str, found: list[Place], wanted: str) -> Place:
    matching = [place for place in found if f"/{place.path}".endswith(f"/{wanted}")]
    if not matching:
        names = list(dict.fromkeys(place.path for place in found))
        close = get_close_matches(wanted, names, n=5, cutoff=0.4) or names[:5]
        raise ModelError(
            f"features_layer: no layer {wanted!r} on the way from the image to the words in {name!r}; "
            f"close names: {', '.join(close)}"
        )
    place = next((place for place in matching if place.is_map), None)
    if place is None:
        shape = ", ".join("n" if side is None else str(side) for side in matching[0].tensor.shape)
        raise ModelError(
            f"features_layer: {wanted!r} has the shape [{shape}]; expected a map [n, height, width, channels]"
        )
    if not place.is_on_all_paths():
        raise ModelError(
            f"features_layer: not all that {name!r} sees passes {wanted!r}; name a layer behind the "
            "place where the paths join, or leave it out"
        )
    return place


def _around(place: Place) -> tuple[Stage, Stage]:
    """The functions from the outermost source to a place, and from there to the outermost sinks."""
    before, behind = [], []
    for level, below in zip(place.levels, place.levels[1:], strict=False):
        before.append((level.source, entry(level, below)))
    before.append((place.levels[-1].source, place.tensor))
    for level in reversed(place.levels):
        behind.append((level.tensor, level.sinks))
    look = [Subgraph([a], [b]) for a, b in before if a is not b]
    digest = [Subgraph([a], list(b)) for a, b in behind if not (len(b) == 1 and b[0] is a)]
    return Stage(look), Stage(digest)
