"""Compile and differentiate functions of tensors on the backend of Keras: TensorFlow, JAX or PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import keras
from keras import ops, tree

Tensor = Any
"""A tensor of the backend."""

Watch = Callable[[Hashable, Tensor], Tensor]
"""``watch(key, tensor)`` returns the tensor to go on with."""


def signals(run: Callable[[Watch], tuple[Tensor, Any]], keys: Sequence[Hashable]) -> tuple[list[Tensor], Any]:
    """Run a function, and compute the gradient of its score with respect to tensors inside it.

    Args:
        run: ``run(watch)`` returns a score, of which the sum is differentiated, and further results. It
            watches one tensor for each key.
        keys: of the tensors with respect to which the gradient is computed; none: only ``run`` is run.

    Returns:
        The gradients, of the shapes of the watched tensors (0 where the score does not depend on one), and
        the further results.
    """
    if not keys:
        return [], run(lambda key, x: x)[1]
    return _SIGNALS[keras.backend.backend()](run, keys)


def carried(
    output: Tensor,
    inputs: Sequence[Tensor],
    backward: Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]],
) -> Tensor:
    """Return the output's value with another gradient.

    Args:
        backward: ``backward(signal, inputs)`` maps the signal on the output to signals on the inputs. JAX
            needs the inputs as an argument: it does not differentiate with tensors that a function encloses.
    """

    @ops.custom_gradient
    def passed(value: Tensor, *inputs: Tensor) -> Any:
        def gradient(*arriving: Tensor, upstream: Tensor = None) -> tuple[Tensor, ...]:
            signal = arriving[0] if upstream is None else upstream  # PyTorch passes the inputs, too
            return (ops.zeros_like(value), *backward(signal, inputs))

        return value, gradient

    return passed(ops.stop_gradient(output), *inputs)


def compiled(
    function: Callable[..., Any], specs: Sequence[Any], variables: Iterable[keras.Variable]
) -> Callable[..., Any]:
    """Compile a function of tensors; PyTorch runs it as it is.

    Args:
        specs: nested ``KerasTensor``: the shapes and types of the arguments, None for any size. JAX compiles
            once for each size.
        variables: all that the function reads; their current values count at each call.

    Returns:
        A function of nested arrays or tensors that returns tensors.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        wanted = tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), list(specs))
        concrete = tf.function(function, autograph=False, jit_compile=False).get_concrete_function(*wanted)
        return lambda *given: concrete(*tree.map_structure(tf.convert_to_tensor, list(given)))
    if backend == "jax":
        import jax

        kept = list(variables)

        @jax.jit
        def pure(state: list[Tensor], given: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(kept, state, strict=True))):
                return function(*given)

        return lambda *given: pure([one.value for one in kept], given)
    return lambda *given: function(*tree.map_structure(ops.convert_to_tensor, list(given)))


def _tensorflow(run: Callable[[Watch], tuple[Tensor, Any]], keys: Sequence[Hashable]) -> Any:
    import tensorflow as tf

    watched = {}

    def watch(key: Hashable, x: Tensor) -> Tensor:
        watched[key] = tf.identity(x)
        tape.watch(watched[key])
        return watched[key]

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        score, results = run(watch)
    found = tape.gradient(score, [watched[key] for key in keys], unconnected_gradients="zero")
    return found, results


def _jax(run: Callable[[Watch], tuple[Tensor, Any]], keys: Sequence[Hashable]) -> Any:
    import jax

    shapes: dict[Hashable, Any] = {}

    def measure(key: Hashable, x: Tensor) -> Tensor:
        shapes[key] = x
        return x

    # Only functions of arguments are differentiated: of zeros that are added to the watched tensors.
    jax.eval_shape(lambda: run(measure))
    zeros = [jax.numpy.zeros(shapes[key].shape, shapes[key].dtype) for key in keys]

    def score(added: list[Tensor]) -> tuple[Tensor, Any]:
        of = dict(zip(keys, added, strict=True))
        found, results = run(lambda key, x: x + of[key] if key in of else x)
        return found.sum(), results

    return jax.grad(score, has_aux=True)(zeros)


def _torch(run: Callable[[Watch], tuple[Tensor, Any]], keys: Sequence[Hashable]) -> Any:
    import torch

    watched = {}

    def watch(key: Hashable, x: Tensor) -> Tensor:
        watched[key] = x if x.requires_grad else x.detach().requires_grad_()
        return watched[key]

    with torch.enable_grad():
        score, results = run(watch)
        asked = [watched[key] for key in keys]
        found = torch.autograd.grad(score.sum(), asked, allow_unused=True, materialize_grads=True)
    return list(found), results


_SIGNALS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
