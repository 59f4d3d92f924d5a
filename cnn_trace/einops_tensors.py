"""Let ``einops`` rearrange symbolic tensors of Keras, as TensorFlow's captioning tutorial has it do."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

from keras import KerasTensor, ops


def register() -> None:
    """Tell ``einops``, if somebody's code has imported it, how symbolic tensors are rearranged."""
    if "einops" in sys.modules:
        _register()


@cache
def _register() -> None:
    backends = importlib.import_module("einops._backends")

    class Symbolic(backends.AbstractBackend):  # type: ignore[name-defined]
        framework_name = "keras.src"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, KerasTensor)

        def shape(self, x: Any) -> tuple[Any, ...]:
            return tuple(backends.UnknownSize() if size is None else size for size in x.shape)

        def reshape(self, x: Any, shape: Any) -> Any:
            return ops.reshape(x, [-1 if isinstance(size, backends.UnknownSize) else size for size in shape])

        def transpose(self, x: Any, axes: Any) -> Any:
            return ops.transpose(x, axes)

        def reduce(self, x: Any, operation: str, axes: Any) -> Any:
            return getattr(ops, operation)(x, axis=tuple(axes))

        def add_axis(self, x: Any, new_position: int) -> Any:
            return ops.expand_dims(x, new_position)

        def tile(self, x: Any, repeats: Any) -> Any:
            return ops.tile(x, repeats)

        def is_float_type(self, x: Any) -> bool:
            return "float" in str(x.dtype)

        def einsum(self, pattern: str, *x: Any) -> Any:
            return ops.einsum(pattern, *x)

    # The class is found as a subclass; this name keeps it.
    _known.append(Symbolic)


_known: list[type] = []
