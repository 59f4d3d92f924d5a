"""A Keras model as a flat, topologically ordered list of calls.

A *call* is one application of a layer or an operator: a layer called twice is two calls. Nested models are
inlined by substitution; subclassed models and composite layers by calling their ``call`` on symbolic tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, tree

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.masks import Masks, set_keras_mask
from gazeback.cnn_trace.open_sizes import open_sizes
from gazeback.cnn_trace.openings import opening_of, variables_meet_tensors
from gazeback.cnn_trace.raw_tensorflow import RawFunction, raw_functions_become_operators


@dataclass(eq=False, repr=False)
class Tensor:
    """A symbolic value of the flat graph: the output of one call, or an input of the model."""

    shape: tuple[int | None, ...]
    dtype: str
    name: str
    call: Call | None = None
    channels_first: bool = False
    spatial: bool = True
    map_ranks: tuple[int, ...] = (4,)

    def __repr__(self) -> str:
        # Not the whole graph before it.
        return f"Tensor({self.name!r}, {list(self.shape)})"

    @property
    def is_map(self) -> bool:
        """Whether the tensor has height, width and channels, and more than one location.

        In a model of signals it has a length and channels, in one of volumes also a depth.
        """
        places = self.shape[2:] if self.channels_first else self.shape[1:-1]
        return self.spatial and len(self.shape) in self.map_ranks and any(size != 1 for size in places)


@dataclass(eq=False, repr=False)
class Call:
    """One application of an operation (a layer or an operator) to tensors and constants.

    ``part`` is ``"linear"`` or ``"activation"`` if a layer with a fused activation is split into two calls.
    ``closed``: the reason why a layer could not be opened. ``masks``: of a layer that could not be opened,
    the Keras masks that its inputs carry. ``depends_on_embedding``: its values were worked out from embedded
    words (or other numbers that are no image), and it is not the embedding itself. ``order``: which call of
    its layer it is, in the order in which Keras was told; for a call inside others, theirs first. ``final``:
    a softmax whose output only moves on its way to an output of the model; answers are its logits.
    """

    operation: keras.Operation
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    name: str
    part: str = "whole"
    masks: dict[Tensor, Tensor] = field(default_factory=dict)
    closed: str = ""
    depends_on_image: bool = False
    depends_on_embedding: bool = False
    order: tuple[int, ...] = ()
    final: bool = False

    @property
    def reads(self) -> tuple[Tensor, ...]:
        """The tensors that are needed to run the call: its inputs and their masks."""
        return (*self.inputs, *self.masks.values())

    def __repr__(self) -> str:
        return f"Call({self.name!r}, {type(self.operation).__name__}, {self.part})"


@dataclass
class Graph:
    """The flat model: its inputs, its outputs and every call in the order of the forward pass."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    calls: list[Call]
    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...] = ()
    image_inputs: tuple[Tensor, ...] = ()
    known_inputs: dict[Tensor, set[Tensor]] = field(default_factory=dict, repr=False)
    known_shapes: dict[Any, dict[Tensor, tuple[int, ...]]] = field(default_factory=dict, repr=False)
    opened: dict[str, list[tuple[tuple[int, ...], list[Call]]]] = field(default_factory=dict, repr=False)
    fixed_weights: list[tuple[keras.Variable, np.ndarray]] = field(default_factory=list, repr=False)
    given_states: tuple[Tensor, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether the weights that entered constants of the graph are what they were when it was made."""
        return all(np.array_equal(_array(v), kept) for v, kept in self.fixed_weights)

    def calls_of(self, layer: str) -> list[Call]:
        """Find all calls of a layer, by its name or by its path (``"backbone/block4_pool"``).

        For a nested model or composite layer, which was opened, these are the calls that made its outputs.
        ``"conv#2"`` is the second of several calls of a layer.
        """
        return [call for calls in self._applications(layer) for call in calls]

    def call_of(self, layer: str) -> Call:
        """Find the one call of a layer, or the one that ``"conv#2"`` names; of several calls that made the
        outputs of an opened layer, the last.

        Raises:
            TraceError: there is no such layer, or it is called several times and the name does not say which.
        """
        return self.only(layer, self._applications(layer))[-1]

    def only(self, layer: str, applications: list[list[Call]]) -> list[Call]:
        """The one of these applications of a layer; raises TraceError if there are several."""
        if len(applications) > 1:
            names = [f"{layer}#{number}" for number in range(1, len(self._applications(layer)) + 1)]
            raise TraceError(
                f"layer {layer!r} is called {len(names)} times; name one call: {', '.join(names)}, in the "
                "order in which the model was built"
            )
        return applications[0]

    def applications(self, layer: str, reached: Callable[[Call], bool]) -> list[list[Call]]:
        """The applications of a layer of which a call fulfils a condition."""
        return [calls for calls in self._applications(layer) if any(map(reached, calls))]

    def _applications(self, layer: str) -> list[list[Call]]:
        """The calls of each application of a layer, in the order in which Keras was told."""
        if not isinstance(layer, str):
            raise TraceError(f"a layer is given by its name, got {layer!r}")
        found: dict[tuple[int, ...], list[Call]] = {}
        for call in self.calls:
            if layer in (call.name, call.operation.name):
                found.setdefault(call.order, []).append(call)
        ordered = [found[order] for order in sorted(found)]
        ordered = ordered or [calls for _, calls in sorted(self.opened.get(layer, []), key=itemgetter(0))]
        base, _, number = layer.rpartition("#")
        if not ordered and base and number.isdecimal():
            all_of = self._applications(base)
            if 1 <= int(number) <= len(all_of):
                return [all_of[int(number) - 1]]
            raise TraceError(f"layer {base!r} is called {len(all_of)} times: there is no {layer!r}")
        if not ordered:
            raise TraceError(_unknown_layer(self, layer))
        return ordered

    def ancestors(
        self,
        targets: Iterable[Tensor],
        known: frozenset[Tensor] = frozenset(),
        below: Callable[[Call], Iterable[Tensor]] = lambda call: call.reads,
    ) -> list[Call]:
        """The calls that the targets depend on, in forward order; ``known`` tensors need none.

        ``below`` names the inputs of a call that count.
        """
        needed, found = set(targets) - known, []
        for call in reversed(self.calls):
            if needed.intersection(call.outputs):
                found.append(call)
                needed.update(set(below(call)) - known)
        return found[::-1]

    def output(self, which: int | str) -> Tensor:
        """An output of the model, by its number or its name.

        Raises:
            TraceError: there is none.
        """
        known: dict[int | str, Tensor] = dict(zip(self.output_names, self.outputs, strict=True))
        known.update(enumerate(self.outputs))
        if not isinstance(which, int | str) or which not in known:
            raise TraceError(
                f"model {self.name!r} has no output {which!r}; it has {len(self.outputs)}, from 0: "
                f"{', '.join(self.output_names)}"
            )
        return known[which]

    def inputs_of(self, tensor: Tensor) -> set[Tensor]:
        """The inputs of the model that a tensor depends on."""
        if tensor not in self.known_inputs:
            read = {before for call in self.ancestors([tensor]) for before in call.reads}
            self.known_inputs[tensor] = (read | {tensor}).intersection(self.inputs)
        return self.known_inputs[tensor]


def _array(variable: keras.Variable) -> np.ndarray:
    value = keras.ops.convert_to_tensor(variable)
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _unknown_layer(graph: Graph, layer: str) -> str:
    from difflib import get_close_matches

    names = list(dict.fromkeys([*(call.name for call in graph.calls), *graph.opened]))
    close = get_close_matches(layer, names, n=5, cutoff=0.5) or names[-5:]
    return f"model {graph.name!r} has no layer {layer!r}; close names: {', '.join(close)}"


def flatten(model: keras.Model, has_rule: Callable[[keras.Operation], bool]) -> Graph:
    """Flatten a built Keras model into calls.

    Args:
        model: any built ``keras.Model``: functional, sequential or subclassed, nested at will.
        has_rule: whether an operation stays one call; all others are opened if possible.

    Raises:
        TraceError: the model is not a Keras model, or is not built.
    """
    if not isinstance(model, keras.Model):
        raise TraceError(f"expected a keras.Model, got {type(model).__name__}")
    flattener = _Flattener(has_rule)
    functional = _as_functional(model)
    symbolic = functional._inputs_struct if functional is not None else _symbolic_inputs(model)
    flat_inputs = list(symbolic.values()) if isinstance(symbolic, _Arguments) else tree.flatten(symbolic)
    inputs = tuple(Tensor(tuple(x.shape), str(x.dtype), x.name) for x in flat_inputs)
    known = dict(zip(map(id, flat_inputs), inputs, strict=True))
    if functional is not None:
        outputs = flattener.expand(tree.flatten(functional._outputs_struct), known, prefix="")
    else:
        outputs = _opened_model(flattener, model, symbolic, known)
    names = tuple(x.name for x in flat_inputs)
    if isinstance(symbolic, dict):
        names = tuple(symbolic if isinstance(symbolic, _Arguments) else sorted(symbolic))
    graph = Graph(inputs, tuple(outputs), flattener.calls, model.name, names)
    graph.opened = flattener.opened_layers
    graph.given_states = tuple(dict.fromkeys(t for t in flattener.states if t in inputs))
    graph.output_names = _output_names(functional, graph.outputs)
    graph.fixed_weights = [(v, np.array(_array(v))) for v in flattener.fixed_weights()]
    _mark_images(graph)
    return graph


def _output_names(functional: Any, outputs: tuple[Tensor, ...]) -> tuple[str, ...]:
    """The keys of a dict of outputs, or the names of the layers that make them."""
    struct = None if functional is None else functional._outputs_struct
    if isinstance(struct, dict):
        return tuple(sorted(struct))
    return tuple(t.name if t.call is None else t.call.operation.name for t in outputs)


def _opened_model(
    flattener: _Flattener, model: keras.Model, symbolic: Any, known: dict[int, Tensor]
) -> list[Tensor]:
    arguments, keywords = ((), dict(symbolic)) if isinstance(symbolic, _Arguments) else ((symbolic,), {})
    try:
        return flattener.open(model, arguments, keywords, known, prefix="")
    except TraceError:
        raise
    except Exception as error:
        raise TraceError(
            f"the call of model {model.name!r} does not run on symbolic tensors ({error}); write it with "
            "Keras layers and keras.ops, with one argument for all inputs or a build method that takes the "
            "shape of each"
        ) from error


class _Flattener:
    def __init__(self, has_rule: Callable[[keras.Operation], bool]) -> None:
        self.has_rule = has_rule
        self.calls: list[Call] = []
        self.opened_layers: dict[str, list[tuple[tuple[int, ...], list[Call]]]] = {}
        self.order: tuple[int, ...] = ()
        self.states: list[Tensor] = []
        self.masks = Masks()
        self.closed = ""
        # The layers that are being opened, and those in which something was worked out from weights alone.
        self.layers: list[Any] = []
        self.computing: dict[int, Any] = {}

    def fixed_weights(self) -> list[keras.Variable]:
        """The weights that may have entered constants, and are not read anew at every forward pass."""
        read = {
            id(weight)
            for call in self.calls
            if isinstance(call.operation, keras.Layer) and not looks_up(call)
            for weight in call.operation.weights
        }
        found = {
            id(w): w
            for layer in self.computing.values()
            for w in getattr(layer, "weights", [])
            if id(w) not in read
        }
        return list(found.values())

    def expand(self, outputs: list[KerasTensor], known: dict[int, Tensor], prefix: str) -> list[Tensor]:
        """Add the calls that lead from the ``known`` Keras tensors (by id) to the outputs."""
        stack = list(reversed(outputs))
        while stack:
            if id(stack[-1]) in known:
                stack.pop()
                continue
            history = stack[-1]._keras_history
            if history.operation is None or isinstance(history.operation, keras.layers.InputLayer):
                raise TraceError(f"{prefix}{stack[-1].name} does not depend on the inputs of the model")
            node = history.operation._inbound_nodes[history.node_index]
            missing = [x for x in node.input_tensors if id(x) not in known]
            if missing:
                stack.extend(missing)
            else:
                self._add(node, known, prefix)
        return [known[id(x)] for x in outputs]

    def _add(self, node: Any, known: dict[int, Tensor], prefix: str) -> None:
        before = self.order
        self.order = (*before, node.operation._inbound_nodes.index(node))
        self._add_call(node, known, prefix)
        self.order = before

    def _add_call(self, node: Any, known: dict[int, Tensor], prefix: str) -> None:
        operation, name = node.operation, prefix + node.operation.name
        if isinstance(operation, keras.layers.RNN | keras.layers.Bidirectional):
            self.states += [known[id(x)] for x in node.input_tensors[1:]]
        arguments, keywords, masked = self._with_masks(node, known, prefix)
        passed_on = self.masks.is_passed_on(node)
        functional = _as_functional(operation)
        if functional is not None and masked:
            found = self.open(functional, arguments, keywords, known, name + "/", node.outputs)
            self._note(operation, name, found)
        elif functional is not None:
            inner = _match(functional._inputs_struct, arguments, keywords)
            inner_known = {id(x): known[id(y)] for x, y in inner}
            found = self.expand(tree.flatten(functional._outputs_struct), inner_known, name + "/")
            self._note(operation, name, found)
        elif self.has_rule(operation):
            found = self._leaf(node, arguments, keywords, known, name)
        else:
            opened = self._opened(node, arguments, keywords, known, name)
            found = opened or self._leaf(node, arguments, keywords, known, name)
            if opened is None:
                self.calls[-1].closed = self.closed
                self.calls[-1].masks = {
                    known[id(x)]: known[id(mask)]
                    for x in node.input_tensors
                    if (mask := self.masks.of(x)) is not None
                }
        self.masks.after(node, passed_on)
        known.update(zip(map(id, node.outputs), found, strict=True))

    def _with_masks(self, node: Any, known: dict[int, Tensor], prefix: str) -> tuple[Any, Any, bool]:
        """The arguments of a call, the masks that reach it among them; and whether there are any."""
        arguments, keywords = node.arguments.args, node.arguments.kwargs
        masks = self.masks.keywords(node)
        carried = [self.masks.of(x) for x in node.input_tensors]
        for mask in (*tree.flatten(masks), *carried):
            if mask is not None and id(mask) not in known:
                self.expand([mask], known, prefix)
        return arguments, {**keywords, **masks}, any(mask is not None for mask in carried)

    def _note(self, operation: keras.Operation, name: str, outputs: list[Tensor]) -> None:
        """Note the calls that made the outputs of a nested model or composite layer."""
        calls = [tensor.call for tensor in outputs if tensor.call is not None]
        for key in {name, operation.name}:
            self.opened_layers.setdefault(key, []).append((self.order, calls))

    def _leaf(
        self, node: Any, arguments: Any, keywords: Any, known: dict[int, Tensor], name: str
    ) -> list[Tensor]:
        operation = node.operation
        # The forward pass says anew whether it trains.
        keywords = {key: value for key, value in keywords.items() if key != "training"}
        arguments, keywords = tree.map_structure(
            lambda x: known[id(x)] if isinstance(x, KerasTensor) else x, (tuple(arguments), dict(keywords))
        )
        flat = tree.flatten((arguments, keywords))
        inputs = tuple(x for x in flat if isinstance(x, Tensor))
        if self.layers and any(
            keras.ops.is_tensor(x) for x in flat if not isinstance(x, Tensor | keras.Variable)
        ):
            self.computing[id(self.layers[-1])] = self.layers[-1]
        shapes = _shapes(node, arguments, keywords)
        outputs = tuple(
            Tensor(shape, str(x.dtype), name) for shape, x in zip(shapes, node.outputs, strict=True)
        )
        if has_fused_activation(operation):
            linear = Tensor(outputs[0].shape, outputs[0].dtype, name)
            self._append(Call(operation, arguments, keywords, inputs, (linear,), name, "linear"))
            self._append(Call(operation, arguments, keywords, (linear,), outputs, name, "activation"))
        else:
            self._append(Call(operation, arguments, keywords, inputs, outputs, name))
        return list(outputs)

    def _append(self, call: Call) -> None:
        for output in call.outputs:
            output.call = call
        call.order = self.order
        self.calls.append(call)

    def _opened(
        self, node: Any, arguments: Any, keywords: Any, known: dict[int, Tensor], name: str
    ) -> list[Tensor] | None:
        """Open a layer by calling it on symbolic tensors; None if its ``call`` is not a Keras graph."""
        operation = node.operation
        self.closed = ""
        if opening_of(operation) is None:
            return None
        start = len(self.calls)
        # One that asks how many images there are is told one: what it makes of that serves any number.
        for images in (None, 1):
            try:
                found = self.open(operation, arguments, keywords, known, name + "/", node.outputs, images)
                break
            except Exception as error:
                # Whatever a foreign ``call`` raises on symbolic tensors: the layer then stays one opaque
                # call, and needs a rule of its own; the walk says so if it ever reaches it.
                del self.calls[start:]
                self.closed = _line(error) if images is None else self.closed
        else:
            return None
        # Sizes that are not known yet can read as none at all.
        sound = len(found) == len(node.outputs) and all(0 not in tensor.shape for tensor in found)
        if not sound or not self._is_ruled(operation, self.calls[start:]):
            del self.calls[start:]
            return None
        self._note(operation, name, found)
        return found

    def _is_ruled(self, operation: Any, calls: list[Call]) -> bool:
        """Whether all calls that compute numbers have rules. What is inside a Lambda, or a layer made of
        layers, decides for itself."""
        if isinstance(operation, keras.layers.Lambda):
            return True
        if isinstance(operation, keras.Layer) and list(operation._flatten_layers(include_self=False)):
            return True
        numbers = [call for call in calls if _numbers(call)]
        return all(self.has_rule(c.operation) or isinstance(c.operation, RawFunction) for c in numbers)

    def open(
        self,
        layer: Any,
        arguments: Any,
        keywords: Any,
        known: dict[int, Tensor],
        prefix: str,
        outside: Iterable[KerasTensor] = (),
        images: int | None = None,
    ) -> list[Tensor]:
        """Inline ``layer.call`` on fresh symbolic tensors that stand for the ``known`` ones.

        Its outputs are called ``outside`` by the graph around it. ``images``: how many images the fresh
        tensors say that they hold; None for any number.
        """
        inner: dict[int, Tensor] = {}
        copies: dict[int, tuple[KerasTensor, KerasTensor]] = {}

        def fresh(x: Any) -> Any:
            if not isinstance(x, KerasTensor):
                return x
            if id(x) not in copies:
                first, *sides = _known_sides(x.shape, known[id(x)].shape) or (images,)
                shape = (first or images, *sides) if x.shape else ()
                copy = KerasTensor(shape, dtype=x.dtype, name=x.name)
                copies[id(x)], inner[id(copy)] = (x, copy), known[id(x)]
                mask = self.masks.of(x)
                if mask is not None:
                    set_keras_mask(copy, fresh(mask))
            return copies[id(x)][1]

        arguments, keywords = tree.map_structure(fresh, (tuple(arguments), dict(keywords)))
        keywords.pop("training", None)
        if getattr(layer, "_call_has_training_arg", False):
            keywords["training"] = False
        with (
            self._within(layer),
            variables_meet_tensors(),
            open_sizes(images),
            raw_functions_become_operators(),
        ):
            call = opening_of(layer)
            assert call is not None
            outputs = tree.flatten(call(layer, *arguments, **keywords))
            outputs = [_of_inputs(x, [copy for _, copy in copies.values()]) for x in outputs]
            found = self.expand(outputs, inner, prefix)
            for x, output in zip(outside, outputs, strict=False):
                self._give_mask(x, output, known, inner, prefix)
        for x, copy in copies.values():
            if self.masks.of(x) is not None and self.masks.of(copy) is None:
                self.masks.take_off(x)
        return found

    @contextmanager
    def _within(self, layer: Any) -> Iterator[None]:
        """While a layer is opened, its new nodes are noted, and forgotten at the end."""
        self.layers.append(layer)
        try:
            with _forgotten(layer):
                yield
        finally:
            self.layers.pop()

    def _give_mask(
        self, x: KerasTensor, output: Any, known: dict[int, Tensor], inner: dict[int, Tensor], prefix: str
    ) -> None:
        """An output of an opened layer carries the mask that it was given inside."""
        mask = self.masks.of(output)
        if mask is not None:
            outer = KerasTensor(mask.shape, dtype=mask.dtype, name=mask.name)
            (known[id(outer)],) = self.expand([mask], inner, prefix)
            self.masks.give(x, outer)


Shape = tuple[int | None, ...]


def _known_sides(shape: Any, other: Any) -> Shape:
    """A shape with the sides that another shape of the same tensor knows; the number of images stays open."""
    pairs = zip(shape[1:], other[1:], strict=True)
    return (*shape[:1], *(b if a is None else a for a, b in pairs))


def _shapes(node: Any, arguments: Any, keywords: Any) -> list[Shape]:
    """The shapes of a call's outputs: where Keras left sides open, what the call makes of inputs that were
    opened, and are known better by now.
    """
    shapes = [tuple(x.shape) for x in node.outputs]
    inputs = [x for x in tree.flatten((arguments, keywords)) if isinstance(x, Tensor)]
    if all(None not in shape[1:] for shape in shapes) or any(None in x.shape[1:] for x in inputs):
        return shapes

    def symbolic(x: Any) -> Any:
        return KerasTensor(x.shape, dtype=x.dtype) if isinstance(x, Tensor) else x

    arguments, keywords = tree.map_structure(symbolic, (arguments, keywords))
    try:
        specs = tree.flatten(node.operation.compute_output_spec(*arguments, **keywords))
        return [_known_sides(a, b.shape) for a, b in zip(shapes, specs, strict=True)]
    except Exception:  # whatever a foreign layer raises on shapes that it was not built with
        return shapes


def _of_inputs(output: Any, inputs: list[KerasTensor]) -> Any:
    """A layer's output that is a constant for one image, such as embeddings of places, for each image."""
    constant = keras.ops.is_tensor(output) and len(output.shape) > 1 and output.shape[0] == 1
    if not constant or not inputs:
        return output
    ops = keras.ops
    each = ops.zeros_like(ops.reshape(inputs[0], (-1, int(np.prod(inputs[0].shape[1:]))))[:, :1])
    each = ops.reshape(ops.cast(each, output.dtype), (-1, *[1] * (len(output.shape) - 1)))
    return ops.add(each, output)


def _line(error: Exception) -> str:
    """The first line of an error that says something: Keras puts a heading first."""
    lines = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception encountered")]
    return said[0].rstrip(".") if said else type(error).__name__


class _forgotten:
    """Remove the nodes that sublayers get while a layer is opened in this context.

    In the context, an EinsumDense gives the sizes that its ``output_shape`` leaves open, and a layer that
    inherited from another how its shapes are computed, but not its ``call``, is asked by its ``call``.
    """

    def __init__(self, layer: keras.Operation) -> None:
        self.layers = list(layer._flatten_layers()) if isinstance(layer, keras.Layer) else []

    def __enter__(self) -> None:
        self.lengths = [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in self.layers]
        for layer in self.layers:
            if isinstance(layer, keras.layers.EinsumDense):
                vars(layer)["compute_output_spec"] = partial(einsum_spec, layer)
            elif _overrides_call_alone(type(layer)):
                vars(layer)["compute_output_spec"] = partial(keras.Operation.compute_output_spec, layer)

    def __exit__(self, *_: object) -> None:
        for layer, (inbound, outbound) in zip(self.layers, self.lengths, strict=True):
            del layer._inbound_nodes[inbound:], layer._outbound_nodes[outbound:]
            vars(layer).pop("compute_output_spec", None)


def _overrides_call_alone(kind: type) -> bool:
    """Whether a class has a ``call`` of its own, and computes its shapes as the layer that it inherits."""
    call, spec = (
        next(one for one in kind.__mro__ if name in vars(one)) for name in ("call", "compute_output_spec")
    )
    inherits = spec not in (keras.Layer, keras.Operation, keras.Model)
    return inherits and call is not spec and issubclass(call, spec)


def einsum_spec(layer: Any, x: KerasTensor) -> KerasTensor:
    """The output of an EinsumDense, with the sizes that its input has."""
    kernel = KerasTensor(layer.kernel.shape, dtype=x.dtype)
    found = keras.ops.einsum(layer.equation, x, kernel)
    return KerasTensor(found.shape, dtype=layer.compute_dtype)


def has_fused_activation(operation: keras.Operation) -> bool:
    """Whether a layer with a kernel has a fused activation."""
    weighted = any(hasattr(operation, name) for name in ("kernel", "depthwise_kernel", "pointwise_kernel"))
    activation = getattr(operation, "activation", None)
    return weighted and callable(activation) and activation is not keras.activations.linear


def _match(structure: Any, arguments: Any, keywords: Any) -> list[tuple[KerasTensor, KerasTensor]]:
    """Pair a nested model's own inputs with the tensors on which it is called."""
    given = arguments[0] if arguments else keywords.get("inputs")
    if isinstance(structure, dict) and isinstance(given, dict):
        return [(structure[key], given[key]) for key in structure]
    inner, outer = tree.flatten(structure), tree.flatten(given)
    return list(zip(inner, outer, strict=True))


def _as_functional(operation: keras.Operation) -> Any | None:
    """The functional graph of a functional or (built) sequential model, or None."""
    if isinstance(operation, keras.Sequential):
        if not operation.built or operation._functional is None:
            raise _not_built(operation)
        return operation._functional
    if isinstance(operation, keras.Model) and hasattr(operation, "_inputs_struct"):
        # A subclass of a functional model may have a ``call`` of its own.
        return operation if type(operation).call is _FUNCTIONAL_CALL else None
    return None


def _functional_call() -> Any:
    x = keras.Input((1,))
    return type(keras.Model(x, x)).call


_FUNCTIONAL_CALL = _functional_call()


def _symbolic_inputs(model: keras.Model) -> Any:
    shapes = getattr(model, "_build_shapes_dict", None)
    if not model.built or not shapes:
        raise _not_built(model)
    if len(shapes) == 1:
        return _placeholders(next(iter(shapes.values())), "input")
    return _Arguments(
        (name, _placeholders(shape, name))
        for name, shape in ((key.removesuffix("_shape"), shape) for key, shape in shapes.items())
    )


class _Arguments(dict[str, KerasTensor]):
    """One input for each argument of a subclassed model's ``call``, in their order."""


def _placeholders(shapes: Any, name: str) -> Any:
    return tree.map_shape_structure(
        lambda shape: KerasTensor((None, *shape[1:]), dtype="float32", name=name), shapes
    )


def _not_built(model: keras.Model) -> TraceError:
    return TraceError(
        f"model {model.name!r} is not built, so its layers are unknown: call it once on an input, "
        "model(images), and trace again"
    )


def _mark_images(graph: Graph) -> None:
    images: list[Tensor] = []
    for rank in (4, 5, 3):  # images, volumes or frames, signals
        numbers = (t for t in graph.inputs if rank == 4 or "float" in t.dtype)
        images = images or [t for t in numbers if len(t.shape) == rank]
    graph.image_inputs = tuple(images)
    reached = set(images)
    for call in graph.calls:
        # Masks and indices that are computed from an image carry no evidence.
        carrying = _numbers(call)
        call.depends_on_image = bool(carrying and reached.intersection(call.inputs))
        if call.depends_on_image:
            reached.update(carrying)
    _mark_embedded(graph)


# Their outputs do not depend on the values of their inputs.
_CONSTANT = ("OnesLike", "ZerosLike", "FullLike")


def _numbers(call: Call) -> list[Tensor]:
    """The outputs that can carry evidence."""
    if type(call.operation).__name__ in _CONSTANT:
        return []
    return [output for output in call.outputs if "float" in output.dtype]


def looks_up(call: Call) -> bool:
    """Whether a call looks numbers up in a table of embeddings."""
    return isinstance(call.operation, keras.layers.Embedding)


def _mark_embedded(graph: Graph) -> None:
    """Mark the calls after embeddings of words, and after inputs of numbers that are not an image."""
    embedded = {t for t in graph.inputs if "float" in t.dtype and t not in graph.image_inputs}
    for call in graph.calls:
        numbers = _numbers(call)
        call.depends_on_embedding = bool(
            numbers and not looks_up(call) and embedded.intersection(call.inputs)
        )
        if numbers and call.inputs:
            embedded.update(numbers)
