"""One forward pass, compiled once per model, that returns only the tensors that some rule will read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import tree

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Call, Graph, Tensor, einsum_spec
from gazeback.cnn_trace.masks import get_keras_mask, set_keras_mask


class Recorder:
    """A compiled forward pass through a part of a graph.

    Args:
        graph: the flat model.
        wanted: the tensors to return. Calls that none of them depends on are not run.
        known: tensors whose values will be passed in, so that nothing before them is run again.
    """

    def __init__(
        self, graph: Graph, wanted: Iterable[Tensor], known: frozenset[Tensor] = frozenset()
    ) -> None:
        self.graph = graph
        self.wanted = [tensor for tensor in wanted if tensor not in graph.inputs and tensor not in known]
        calls = graph.ancestors(self.wanted, known)
        read = {tensor for call in calls for tensor in call.reads}
        self.given = [tensor for tensor in (*graph.inputs, *known) if tensor in read]
        # A recorder that starts from known tensors need not return the weights again.
        self.variables = [] if known else _variables(graph)
        self._program = _Program(_Plan(calls, self.given, self.wanted, self.variables))
        if keras.backend.backend() == "tensorflow":
            # XLA's convolutions are slow on the CPU.
            self._program.compile(jit_compile=False)

    def __call__(
        self, values: dict[Tensor, np.ndarray]
    ) -> tuple[dict[Tensor, np.ndarray], dict[int, np.ndarray]]:
        """Run on the values of the given tensors; returns the wanted ones and the weights."""
        if not self.wanted:
            return {}, {}
        arrays = self._run(tuple(values[tensor] for tensor in self.given))
        weights = dict(zip(map(id, self.variables), arrays[len(self.wanted) :], strict=True))
        return dict(zip(self.wanted, arrays, strict=False)), weights

    def _run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        if keras.backend.backend() != "tensorflow":
            return list(self._program.predict_on_batch(inputs))
        self._program.make_predict_function()
        # Unlike predict_on_batch, without a copy: a tensor's memory can be shared.
        return [np.asarray(x) for x in self._program.predict_function([(inputs,)])]


def _variables(graph: Graph) -> list[keras.Variable]:
    """The weights that rules read, of every layer between an image and an output, each once."""
    found: dict[int, keras.Variable] = {}
    for call in graph.calls:
        if not call.depends_on_image or not _is_layer(call.operation):
            continue
        found.update((id(weight), weight) for weight in call.operation.weights if "float" in weight.dtype)
    return list(found.values())


@dataclass(frozen=True)
class Recording:
    """The recorded values of one forward pass: ``recording[tensor]`` is an array, batch first.

    Attributes:
        values: the arrays of the wanted tensors and of the model's inputs.
        shapes: the actual shape of every tensor of the graph.
        weights: the weights of the forward pass, by the ``id`` of their Keras variable.
    """

    values: dict[Tensor, np.ndarray]
    shapes: dict[Tensor, tuple[int, ...]]
    weights: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def __getitem__(self, tensor: Tensor) -> np.ndarray:
        return self.values[tensor]

    def of_images(self) -> list[Recording]:
        """The recordings of the single images, in their order; the values are views."""
        images = max(map(len, self.values.values()))
        shapes = {tensor: (1, *shape[1:]) for tensor, shape in self.shapes.items()}
        return [
            Recording(
                {t: x[i : i + 1] if len(x) == images else x for t, x in self.values.items()},
                shapes,
                self.weights,
            )
            for i in range(images)
        ]


def shapes_of(
    graph: Graph, inputs: tuple[tuple[int, ...], ...], batch: int, needed: frozenset[Tensor] | None = None
) -> dict[Tensor, tuple[int, ...]]:
    """Compute the shape of every tensor; input shapes are without the batch axis, results with it.

    If the model has unknown sizes (a fully convolutional net, a caption of any length), Keras computes them
    call by call. The result is kept with the graph.

    Args:
        needed: for inputs of other sizes than the model has: the tensors up to which the model can read them.
    """
    key = (inputs, needed)
    if key not in graph.known_shapes:
        shapes = dict(zip(graph.inputs, inputs, strict=True))
        calls = graph.ancestors(needed) if needed is not None else ()
        for call in graph.calls:
            if needed is not None and call not in calls:
                continue
            if needed is None and all(None not in output.shape[1:] for output in call.outputs):
                shapes.update((output, output.shape[1:]) for output in call.outputs)  # type: ignore[misc]
            else:
                shapes.update(zip(call.outputs, _output_shapes(call, shapes), strict=True))
        graph.known_shapes[key] = shapes
    return {tensor: (batch, *shape) for tensor, shape in graph.known_shapes[key].items()}


def _output_shapes(call: Call, shapes: dict[Tensor, tuple[int, ...]]) -> list[tuple[int, ...]]:
    if call.part == "activation":
        return [shapes[call.inputs[0]]]

    def symbolic(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return keras.KerasTensor((None, *shapes[x]) if x.shape else (), dtype=x.dtype)

    arguments, keywords = tree.map_structure(symbolic, (call.arguments, call.keywords))
    if isinstance(call.operation, keras.layers.EinsumDense):
        return [tuple(einsum_spec(call.operation, *arguments).shape[1:])]
    specs = tree.flatten(call.operation.compute_output_spec(*arguments, **keywords))
    return [tuple(spec.shape[1:]) for spec in specs]


class _Plan:
    # A plain object, so that Keras does not search it for layers.
    def __init__(
        self,
        calls: list[Call],
        given: list[Tensor],
        wanted: list[Tensor],
        variables: list[keras.Variable],
    ) -> None:
        self.calls, self.given, self.wanted, self.variables = calls, given, wanted, variables


class _Program(keras.Model):
    """The calls as a Keras model, so that Keras compiles them on any backend."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__(name="recorder")
        # Tracked, so that every backend passes the current weights to the compiled function.
        layers = (call.operation for call in plan.calls if _is_layer(call.operation))
        self.sublayers = list({id(layer): layer for layer in layers}.values())
        self._plan = plan
        self.built = True

    def call(self, inputs: tuple[Any, ...], training: bool = False) -> list[Any]:
        plan = self._plan
        values = {t: keras.ops.cast(x, t.dtype) for t, x in zip(plan.given, inputs, strict=True)}
        for call in plan.calls:
            execute(call, values, plan.wanted)
        outputs = [values[tensor] for tensor in plan.wanted]
        return outputs + [keras.ops.convert_to_tensor(variable) for variable in plan.variables]


def execute(call: Call, values: dict[Tensor, Any], wanted: Iterable[Tensor] = ()) -> None:
    """Run one call on backend tensors: read ``values`` and add the call's outputs to it.

    A layer with a fused activation runs as one; its pre-activation is computed only if it is wanted.
    """
    if call.part == "linear":
        if call.outputs[0] in wanted:
            with _linear(call.operation):
                values[call.outputs[0]] = _apply(call, values)
        return
    if call.part == "activation" and call.inputs[0] in values:
        activation: Any = call.operation.activation
        results = activation(values[call.inputs[0]])
    else:
        for tensor, mask in call.masks.items():
            set_keras_mask(values[tensor], values[mask])
        results = _apply(call, values)
        for tensor in call.masks:
            _without_mask(values[tensor])
    values.update(zip(call.outputs, map(_without_mask, tree.flatten(results)), strict=True))


def _without_mask(x: Any) -> Any:
    """A tensor without the mask that it may carry: masks are arguments of the flat graph's calls."""
    if get_keras_mask(x) is not None:
        set_keras_mask(x, None)
    return x


def _apply(call: Call, values: dict[Tensor, Any]) -> Any:
    joins = type(call.operation).__name__ in ("Concatenate", "Stack")
    images = next((t for t in call.inputs if t.shape), None) if joins else None

    def fill(x: Any) -> Any:
        if isinstance(x, Tensor):
            return values[x]
        return x if images is None or not _is_of_one(x) else _repeated(x, values[images])

    arguments, keywords = tree.map_structure(fill, (call.arguments, call.keywords))
    operation: Any = call.operation
    if _is_layer(operation):
        keywords.pop("training", None)
        if operation._call_has_training_arg:
            keywords["training"] = False
    return operation(*arguments, **keywords)


def _is_of_one(x: Any) -> bool:
    """Whether something is a constant that stands for each image, such as a class token."""
    return bool(keras.ops.is_tensor(x)) and len(x.shape) > 1 and x.shape[0] == 1


def _repeated(constant: Any, of_images: Any) -> Any:
    return keras.ops.repeat(constant, keras.ops.shape(of_images)[0], axis=0)


@contextlib.contextmanager
def _linear(layer: Any) -> Iterator[None]:
    """The layer without its fused activation, to read the pre-activation."""
    activation = layer.activation
    if isinstance(activation, keras.Layer):  # not replaced, because it is tracked as a part of the layer
        vars(activation)["call"] = keras.activations.linear
    else:
        layer.activation = keras.activations.linear
    try:
        yield
    finally:
        if isinstance(activation, keras.Layer):
            del vars(activation)["call"]
        else:
            layer.activation = activation


def _is_layer(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.Layer)


def check_inputs(graph: Graph, inputs: Any) -> list[np.ndarray]:
    """Convert a user's inputs to one array per graph input, batch first.

    Raises:
        TraceError: the number of inputs, a rank or a fixed size differs from what the model expects.
    """
    if isinstance(inputs, dict):
        missing = [name for name in graph.input_names if name not in inputs]
        if missing:
            raise TraceError(
                f"model {graph.name!r} needs the inputs {list(graph.input_names)}; missing: {missing}"
            )
        inputs = [inputs[name] for name in graph.input_names]
    elif not isinstance(inputs, list | tuple) or (len(graph.inputs) == 1 and len(inputs) != 1):
        inputs = [inputs]
    if len(inputs) != len(graph.inputs):
        raise TraceError(
            f"model {graph.name!r} has {len(graph.inputs)} inputs {list(graph.input_names)}, "
            f"got {len(inputs)}"
        )
    arrays = [_checked(graph, t, x) for t, x in zip(graph.inputs, inputs, strict=True)]
    if len({len(x) for x in arrays}) > 1:
        raise TraceError(f"the inputs have different batch sizes: {[len(x) for x in arrays]}")
    return arrays


def _checked(graph: Graph, tensor: Tensor, given: Any) -> np.ndarray:
    array = np.asarray(given)
    if array.ndim == len(tensor.shape) - 1 and (array.ndim >= 3 or tensor in graph.image_inputs):
        array = array[None]
    expected = tensor.shape[1:]
    fits = array.ndim == len(tensor.shape) and all(
        e is None or e == g for e, g in zip(expected, array.shape[1:], strict=False)
    )
    if not fits:
        wanted = ", ".join("any" if e is None else str(e) for e in ("n", *expected))
        raise TraceError(
            f"input {tensor.name!r} of model {graph.name!r} has the shape [{wanted}], "
            f"got {list(array.shape)}" + "; resize the image to what the model expects" * (len(expected) == 3)
        )
    if array.size == 0:
        raise TraceError(f"input {tensor.name!r} is empty: shape {list(array.shape)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise TraceError(f"input {tensor.name!r} holds NaN or infinite values")
    return array.astype(tensor.dtype, copy=False)
