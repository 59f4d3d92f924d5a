"""Functional Keras models as graphs: which tensors depend on which, which lie on all paths, and the calls
between them as functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras


def graph_of(operation: Any) -> Any | None:
    """The functional graph of a functional or (built) sequential model, or None."""
    if isinstance(operation, keras.Sequential):
        return operation._functional if operation.built else None
    if isinstance(operation, keras.Model) and hasattr(operation, "_inputs_struct"):
        # A subclass of a functional model may have a ``call`` of its own.
        return operation if type(operation).call is _FUNCTIONAL_CALL else None
    return None


def _functional_call() -> Any:
    x = keras.Input((1,))
    return type(keras.Model(x, x)).call


_FUNCTIONAL_CALL = _functional_call()


def node_of(tensor: Any) -> Any:
    """The call that made a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def nodes_before(tensors: Iterable[Any], given: Iterable[Any] = ()) -> list[Any]:
    """All calls that lead to some tensors, inputs included, in the order of the forward pass.

    Args:
        given: known tensors, before which no calls are looked for.
    """
    known = set(map(id, given))
    found: list[Any] = []
    done: set[int] = set()
    stack = [(node_of(tensor), False) for tensor in tensors if id(tensor) not in known]
    while stack:
        node, entered = stack.pop()
        if entered:
            found.append(node)
        elif id(node) not in done:
            done.add(id(node))
            stack.append((node, True))
            stack.extend((node_of(x), False) for x in node.input_tensors if id(x) not in known)
    return found


class Subgraph:
    """The calls between some tensors of a graph and others, as a function.

    So is a ``keras.Function``, but before Keras 3.10 only from a model's inputs. A ``keras.Model`` from a
    tensor inside a graph would rewire the graph.

    Raises:
        ValueError: an output depends on an input of the graph that is not given.
    """

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self._inputs, self._outputs = list(inputs), list(outputs)
        self._nodes = nodes_before(outputs, inputs)
        missing = [x.name for node in self._nodes if node.is_input for x in node.outputs]
        if missing:
            raise ValueError(f"the outputs also depend on {', '.join(missing)}")
        self.operations = list({id(node.operation): node.operation for node in self._nodes}.values())

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """From values of the inputs to those of the outputs."""
        values = {id(x): value for x, value in zip(self._inputs, inputs, strict=True)}
        for node in self._nodes:
            arguments, keywords = node.arguments.fill_in(values)
            found = keras.tree.flatten(node.operation(*arguments, **keywords))
            values.update(zip(map(id, node.outputs), found, strict=True))
        return [values[id(x)] for x in self._outputs]


def dependents(nodes: Iterable[Any], roots: Sequence[Any]) -> set[int]:
    """The ids of the tensors that depend on the roots, the roots included."""
    found = set(map(id, roots))
    for node in nodes:
        if any(id(x) in found for x in node.input_tensors):
            found.update(map(id, node.outputs))
    return found


def nodes_depending(outputs: Iterable[Any], root: Any) -> list[Any]:
    """The calls that lead from a tensor to the outputs, in the order of the forward pass."""
    nodes = nodes_before(outputs)
    found = dependents(nodes, [root])
    return [node for node in nodes if any(id(x) in found for x in node.input_tensors)]


@dataclass(frozen=True, eq=False)
class Level:
    """A tensor between a source and sinks of one graph. All evidence ends in the sinks."""

    source: Any
    sinks: tuple[Any, ...]
    tensor: Any

    def is_on_all_paths(self) -> bool:
        """Whether every path from the source to the sinks passes the tensor."""
        if self.tensor is self.source:
            return True
        nodes = nodes_before(self.sinks)
        reached = {id(self.source)}
        for node in nodes:
            if any(id(x) in reached for x in node.input_tensors):
                reached.update(id(x) for x in node.outputs if x is not self.tensor)
        return not any(id(sink) in reached for sink in self.sinks)


@dataclass(frozen=True, eq=False)
class Place:
    """A tensor with its path: one level for each nested model around it, the outermost first."""

    path: str
    levels: tuple[Level, ...]

    @property
    def tensor(self) -> Any:
        """The tensor itself."""
        return self.levels[-1].tensor

    @property
    def is_map(self) -> bool:
        """Whether it has height, width and channels, and more than one location."""
        shape = self.tensor.shape
        return len(shape) == 4 and tuple(shape[1:3]) != (1, 1)

    def is_on_all_paths(self) -> bool:
        """Whether every path passes it, at every level."""
        return all(level.is_on_all_paths() for level in self.levels)


def places(
    source: Any, sinks: Sequence[Any], outer: tuple[Level, ...] = (), path: str = ""
) -> Iterator[Place]:
    """Yield all tensors between a source and sinks, also those in nested models, the last first."""
    nodes = nodes_before(sinks)
    depending = dependents(nodes, [source])
    for node in reversed(nodes):
        if node.is_input or not any(id(x) in depending for x in node.outputs):
            continue
        name = path + node.operation.name
        for index, tensor in enumerate(node.outputs):
            levels = (*outer, Level(source, tuple(sinks), tensor))
            yield Place(name, levels)
            inner = graph_of(node.operation)
            read = [i for i, x in enumerate(node.input_tensors) if id(x) in depending]
            if inner is not None and len(read) == 1:
                yield from places(inner.inputs[read[0]], [inner.outputs[index]], levels, name + "/")


def entry(level: Level, below: Level) -> Any:
    """The input, in the outer graph, of the nested model at the level below."""
    node = node_of(level.tensor)
    inner = graph_of(node.operation)
    assert inner is not None
    return node.input_tensors[next(i for i, x in enumerate(inner.inputs) if x is below.source)]
