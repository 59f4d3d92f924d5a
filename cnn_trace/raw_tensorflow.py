"""Replace TensorFlow functions in the call of a layer that is opened by operators of Keras.

A function without such an operator stays one call: the model runs through it, but no evidence passes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops, tree

from gazeback.cnn_trace import einops_tensors

_opening: ContextVar[bool] = ContextVar("opening", default=False)


class RawFunction(keras.Operation):
    """A TensorFlow function that no operator of Keras replaces."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(name=f"tf.{name}")
        self.function = function

    def call(self, *arguments: Any, **keywords: Any) -> Any:
        """Run the function."""
        return self.function(*arguments, **keywords)


class Size(keras.Operation):
    """The size of an axis, such as the batch, that is known only when the model runs."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def call(self, x: Any) -> Any:
        """The size, an integer scalar."""
        return ops.shape(x)[self.axis]

    def compute_output_spec(self, x: KerasTensor) -> KerasTensor:
        """An integer scalar."""
        return KerasTensor((), dtype="int32")


@contextmanager
def raw_functions_become_operators() -> Iterator[None]:
    """Let the functions of TensorFlow and ``einops`` take symbolic tensors of Keras in this context."""
    if keras.backend.backend() == "tensorflow":
        _register()
    einops_tensors.register()
    token = _opening.set(True)
    try:
        yield
    finally:
        _opening.reset(token)


@cache
def _register() -> None:
    """Register, once, to be called when a TensorFlow function gets an argument of an unknown type."""
    dispatch = importlib.import_module("tensorflow.python.util.dispatch")

    class Dispatcher(dispatch.GlobalOpDispatcher):  # type: ignore[name-defined]
        def handle(self, op: Any, args: Any, kwargs: Any) -> Any:
            symbolic = any(isinstance(x, KerasTensor) for x in tree.flatten((args, kwargs)))
            names = _names(op) if _opening.get() and symbolic else []
            # An inner function has no public name; the public function that called it is converted.
            return _converted(op, names, args, kwargs) if names else self.NOT_SUPPORTED

    Dispatcher().register()


def _names(function: Any) -> list[str]:
    """The public names of a TensorFlow function, such as ``math.reduce_sum`` and ``reduce_sum``."""
    util = "tensorflow.python.util"
    _, inner = importlib.import_module(f"{util}.tf_decorator").unwrap(function)
    found: list[str] = importlib.import_module(f"{util}.tf_export").get_v2_names(inner)
    return found


def _converted(function: Callable[..., Any], names: list[str], arguments: Any, keywords: Any) -> Any:
    """The result of a TensorFlow function on symbolic tensors."""
    keywords = {key: value for key, value in keywords.items() if key != "name"}
    for name in {str(name).rpartition(".")[2] for name in names}.intersection(_OPERATORS):
        try:
            return _OPERATORS[name](*arguments, **keywords)
        except Exception:  # the operator does not take these arguments
            break
    return RawFunction(function, names[0])(*arguments, **keywords)


def _shape(input: Any, out_type: Any = None) -> tuple[Any, ...]:
    """The sizes of all axes: numbers if they are known, else integer scalars of the graph."""
    return tuple(Size(axis)(input) if size is None else size for axis, size in enumerate(input.shape))


def _reshape(tensor: Any, shape: Any) -> Any:
    """Reshape, with a batch of any size."""
    sizes = list(shape) if isinstance(shape, list | tuple) else np.asarray(shape).tolist()
    if any(isinstance(size, KerasTensor) for size in sizes[1:]):
        raise ValueError("a size that is not known")
    if sizes and isinstance(sizes[0], KerasTensor):
        rest = [int(size) for size in sizes[1:]]
        if -1 in rest:
            rest[rest.index(-1)] = -int(np.prod(tensor.shape[1:])) // int(np.prod(rest))
        sizes = [-1, *rest]
    return ops.reshape(tensor, [int(size) for size in sizes])


def _matmul(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, adjoint_b: bool = False
) -> Any:
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b or adjoint_b else b)


def _split(value: Any, num_or_size_splits: Any, axis: int = 0) -> Any:
    if isinstance(num_or_size_splits, int):
        return ops.split(value, num_or_size_splits, axis=axis)
    return ops.split(value, np.cumsum(num_or_size_splits)[:-1].tolist(), axis=axis)


def _extract_patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str) -> Any:
    return ops.image.extract_patches(
        images,
        tuple(sizes[1:3]),
        strides=tuple(strides[1:3]),
        dilation_rate=rates[1],
        padding=padding.lower(),
    )


def _reduced(operator: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(input_tensor: Any, axis: Any = None, keepdims: bool = False) -> Any:
        axis = np.asarray(axis).tolist() if axis is not None else None
        return operator(input_tensor, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)

    return reduce


def _of_one(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt an operator of one tensor, whose argument has different names in TensorFlow."""

    def of_one(*arguments: Any, **keywords: Any) -> Any:
        (x,) = (*arguments, *keywords.values())
        return operator(x)

    return of_one


def _of_two(operator: Callable[..., Any]) -> Callable[..., Any]:
    def of_two(x: Any, y: Any) -> Any:
        return operator(x, y)

    return of_two


# fmt: off
_SAME_OF_ONE = (
    "relu", "relu6", "tanh", "sigmoid", "silu", "elu", "selu", "softplus", "softsign", "exp", "log", "log1p",
    "sqrt", "rsqrt", "square", "abs", "negative", "erf", "reciprocal", "stop_gradient", "logical_not",
)
_SAME_OF_TWO = (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "equal", "not_equal", "greater",
    "greater_equal", "less", "less_equal", "logical_and", "logical_or",
)
# fmt: on

# Keys are the last parts of TensorFlow's names; the functions take TensorFlow's arguments.
_OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: _of_one(getattr(ops, name)) for name in _SAME_OF_ONE},
    **{name: _of_two(getattr(ops, name)) for name in _SAME_OF_TWO},
    "swish": _of_one(ops.silu),
    "truediv": _of_two(ops.divide),
    "pow": _of_two(ops.power),
    "bias_add": lambda value, bias: ops.add(value, bias),
    "cast": lambda x, dtype: ops.cast(x, keras.backend.standardize_dtype(dtype)),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(t, clip_value_min, clip_value_max),
    "concat": lambda values, axis: ops.concatenate(list(values), axis=axis),
    "convert_to_tensor": lambda value, dtype=None: value,
    "einsum": lambda equation, *inputs: ops.einsum(equation, *inputs),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "extract_patches": _extract_patches,
    "gather": lambda params, indices, axis=0: ops.take(params, indices, axis=axis),
    "gelu": lambda features, approximate=False: ops.gelu(features, approximate=approximate),
    "identity": lambda input: input,
    "l2_normalize": lambda x, axis=None, epsilon=1e-12: ops.normalize(x, axis=axis, epsilon=epsilon),
    "leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=alpha),
    "log_softmax": lambda logits, axis=-1: ops.log_softmax(logits, axis=axis),
    "matmul": _matmul,
    "ones_like": lambda input, dtype=None: ops.ones_like(input, dtype=dtype),
    "pad": lambda tensor, paddings, mode="CONSTANT": ops.pad(tensor, paddings, mode=mode.lower()),
    "reduce_max": _reduced(ops.max),
    "reduce_mean": _reduced(ops.mean),
    "reduce_min": _reduced(ops.min),
    "reduce_sum": _reduced(ops.sum),
    "repeat": lambda input, repeats, axis: ops.repeat(input, repeats, axis=axis),
    "reshape": _reshape,
    "reverse": lambda tensor, axis: ops.flip(tensor, axis=axis),
    "shape": _shape,
    "softmax": lambda logits, axis=-1: ops.softmax(logits, axis=-1 if axis is None else axis),
    "split": _split,
    "squeeze": lambda input, axis=None: ops.squeeze(input, axis=axis),
    "stack": lambda values, axis=0: ops.stack(list(values), axis=axis),
    "tile": lambda input, multiples: ops.tile(input, [int(n) for n in multiples]),
    "transpose": lambda a, perm=None: ops.transpose(a, perm),
    "unstack": lambda value, num=None, axis=0: ops.unstack(value, num, axis=axis),
    "where": lambda condition, x, y: ops.where(condition, x, y),
    "zeros_like": lambda input, dtype=None: ops.zeros_like(input, dtype=dtype),
}
