"""Call a user's model, layer or function on symbolic tensors, so that its layers enter the graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import keras
from keras import KerasTensor, tree

from gazeback.models.open_sizes import open_sizes
from gazeback.models.wrapping.graphs import graph_of, nodes_before

GROUP = "gazeback.openings"
"""Entry points of contexts in which foreign code accepts symbolic tensors."""


@open_sizes()
def opened(called: Any, *inputs: Any) -> Any:
    """Call a model, layer or function on symbolic tensors, and open it unless it is a functional model.

    The ``call`` of an opened model runs on the tensors, so that its layers enter the graph one by one. Layers
    inside it that read a map are opened too.
    """
    with ExitStack() as contexts:
        for context in (*_contexts(), _readers_of_maps_opened):
            contexts.enter_context(context())
        if not isinstance(called, keras.Layer):
            return called(*inputs)
        if graph_of(called) is not None:
            return _flat(called, *inputs) if _hides_a_map(called) else called(*inputs)
        return _opened_layer(called, *inputs)


@cache
def _contexts() -> tuple[Callable[[], AbstractContextManager[None]], ...]:
    return tuple(entry.load() for entry in entry_points(group=GROUP))


def _opened_layer(layer: keras.Layer, *inputs: Any) -> Any:
    quiet = {"training": False} if layer._call_has_training_arg else {}
    # Builds it where it is not built.
    whole = layer(*inputs, **quiet)
    if _own_variables(layer) or not _sublayers(layer):
        return whole
    inside = _inside(layer, inputs, quiet)
    return whole if inside is None else inside


def _inside(layer: keras.Layer, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any | None:
    """The result of a layer's ``call`` on symbolic tensors, or None if it does not run on them."""
    try:
        found = type(layer).call(layer, *inputs, **keywords)
        tensors = tree.flatten(found)
        sound = tensors and all(isinstance(x, KerasTensor) for x in tensors)
        return found if sound and _are_named_apart(tensors) else None
    except Exception:  # whatever a foreign ``call`` raises; it then stays one layer
        return None


def _are_named_apart(tensors: Sequence[Any]) -> bool:
    """Whether all layers before some tensors have different names, as one functional model needs."""
    operations = {id(node.operation): node.operation.name for node in nodes_before(tensors)}
    return len(set(operations.values())) == len(operations)


def _flat(model: Any, *inputs: Any) -> Any:
    """Call a functional model so that its layers enter the graph, instead of the model as one layer."""
    inside = _inside(graph_of(model), inputs, {"training": False})
    return model(*inputs) if inside is None else inside


@contextmanager
def _readers_of_maps_opened() -> Iterator[None]:
    """Open every foreign layer that is called on a symbolic map in this context."""
    kind: Any = keras.Layer
    known = kind.__call__

    def call(layer: Any, *inputs: Any, **keywords: Any) -> Any:
        _free_lengths(layer)
        if _reads_both(layer):
            return _flat(layer, *inputs)
        if not _is_foreign(layer) or not _is_map(next(iter(inputs), None)):
            return known(layer, *inputs, **keywords)
        if not layer.built:
            known(layer, *inputs, **keywords)
        quiet = {"training": False} if layer._call_has_training_arg else {}
        inside = _inside(layer, inputs, keywords | quiet)
        return known(layer, *inputs, **keywords) if inside is None else inside

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = known


def _is_foreign(layer: Any) -> bool:
    """Whether a layer is not from Keras, is made of other layers, and has no weights of its own."""
    own = not _is_keras(layer) and graph_of(layer) is None
    return own and bool(_sublayers(layer)) and not _own_variables(layer)


def is_opaque(operation: Any) -> bool:
    """Whether an operation is, or contains, foreign code, or a recurrent layer around a cell, which is opened
    step by step.
    """
    graph = graph_of(operation)
    if graph is not None:
        return any(is_opaque(node.operation) for node in nodes_before(graph.outputs) if not node.is_input)
    inside = operation._flatten_layers() if isinstance(operation, keras.Layer) else ()
    own = not _is_keras(operation) or isinstance(operation, keras.layers.Lambda)
    return own or any(isinstance(x, keras.layers.RNN) and not isinstance(x, _WHOLE) for x in inside)


_WHOLE = (keras.layers.LSTM, keras.layers.GRU)


def _reads_both(layer: Any) -> bool:
    """Whether a layer is a functional model with several inputs, one of them a map."""
    graph = graph_of(layer)
    return graph is not None and len(graph.inputs) > 1 and any(map(_is_map, graph.inputs))


def _hides_a_map(model: Any) -> bool:
    """Whether a functional model must be opened to find its map.

    It must if it has several outputs, or if the map is inside a foreign layer or a model that also reads the
    words.
    """
    graph = graph_of(model)
    assert graph is not None
    if len(graph.outputs) > 1 or _reads_both(model):
        return True
    layers = [node for node in nodes_before(graph.outputs) if isinstance(node.operation, keras.Layer)]
    return any(_is_foreign(node.operation) and any(map(_is_map, node.input_tensors)) for node in layers)


def _is_map(tensor: Any) -> bool:
    return isinstance(tensor, KerasTensor) and len(tensor.shape) == 4


def _free_lengths(layer: keras.Layer) -> None:
    """Rebuild the sequential models in a foreign layer for symbolic sequences of any length.

    Their graphs have the length of the first call, although they run on any length.
    """
    if _is_keras(layer):
        return
    for part in _sublayers(layer):
        if isinstance(part, keras.Sequential) and part._functional is not None:
            shape = part._functional.inputs[0].shape
            if len(part._functional.inputs) == 1 and len(shape) == 3 and shape[1] is not None:
                part._functional, part._layers = None, list(part.layers)
                part.build((None, None, shape[2]))


def _is_keras(layer: Any) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


def _sublayers(layer: keras.Layer) -> list[keras.Layer]:
    return list(layer._flatten_layers(include_self=False))


def _own_variables(layer: keras.Layer) -> int:
    """The number of variables of the layer itself, without those of its sublayers."""
    return len(layer.variables) - len({id(v) for x in _sublayers(layer) for v in x.variables})


def uncallable(name: str, what: str, reasons: Sequence[Exception]) -> str:
    """One line that says why something could not be called on symbolic tensors."""
    if any("KerasTensor" in str(error) and "TensorFlow" in str(error) for error in reasons):
        return (
            f"{name!r} uses TensorFlow operations where Keras needs its own: write keras.ops in the place of "
            "tf in its call"
        )
    return f"{name!r} cannot be called on {what} ({said(reasons[0])})"


def said(error: Exception) -> str:
    """The first informative line of an error; Keras begins with a heading."""
    lines = (re.sub(r"\x1b\[\d+m", "", line).strip() for line in str(error).splitlines())
    found = (line for line in lines if line and not line.startswith("Exception encountered"))
    return next(found, type(error).__name__)


def name_of(called: Any) -> str:
    """The name of a model, layer or function in messages."""
    return str(getattr(called, "name", None) or getattr(called, "__name__", type(called).__name__))
