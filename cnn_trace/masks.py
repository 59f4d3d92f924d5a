"""Find the Keras masks that reach each call when a model runs.

Keras passes a mask as an attribute of a tensor. Its symbolic calls do not always name the masks that a layer
takes from its inputs. They also ignore that MultiHeadAttention removes the masks of its inputs.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import KerasTensor, tree

try:
    from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
except ImportError:  # early versions of Keras 3

    def get_keras_mask(x: Any) -> Any:
        """The mask that a tensor carries."""
        return getattr(x, "_keras_mask", None)

    def set_keras_mask(x: Any, mask: Any) -> None:
        """Set or remove the mask of a tensor."""
        x._keras_mask = mask


class Masks:
    """The masks of symbolic tensors while the model runs call by call."""

    def __init__(self) -> None:
        # Tensors are kept, so that no other tensor gets their id.
        self._without: dict[int, KerasTensor] = {}
        self._given: dict[int, tuple[KerasTensor, KerasTensor]] = {}

    def of(self, x: Any) -> KerasTensor | None:
        """The mask that a tensor carries, or None."""
        if id(x) in self._given:
            return self._given[id(x)][1]
        if id(x) in self._without or not isinstance(x, KerasTensor):
            return None
        mask = get_keras_mask(x)
        return mask if isinstance(mask, KerasTensor) else None

    def take_off(self, x: KerasTensor) -> None:
        """Remove the mask of a tensor for the following calls."""
        self._without[id(x)] = x
        self._given.pop(id(x), None)

    def give(self, x: KerasTensor, mask: KerasTensor) -> None:
        """Give a tensor a mask that the symbolic graph does not have."""
        self._given[id(x)] = x, mask

    def keywords(self, node: Any) -> dict[str, Any]:
        """The masks that a layer takes from its input tensors, by the names of the arguments."""
        arguments = _arguments(node)
        tensors = {name: x for name, x in arguments.items() if _is_tensors(x)}
        if len(tensors) == 1:
            wanted = {"mask": next(iter(tensors.values()))}
        else:
            wanted = {f"{name}_mask": x for name, x in tensors.items()}
        free = {name: x for name, x in wanted.items() if name in arguments and arguments[name] is None}
        found = {name: tree.map_structure(self.of, x) for name, x in free.items()}
        return {name: masks for name, masks in found.items() if _is_any(masks)}

    def is_passed_on(self, node: Any) -> bool:
        """Whether the outputs of a call carry their masks of the symbolic graph."""
        arguments = _arguments(node)
        if not arguments or arguments.get("mask") is not None:
            return True
        first = [x for x in tree.flatten(next(iter(arguments.values()))) if isinstance(x, KerasTensor)]
        masked = [x for x in first if get_keras_mask(x) is not None]
        kept = [self.of(x) is not None for x in masked]
        # A layer without a mask made its own, as an embedding does.
        return not masked or (all(kept) if _needs_all(node.operation) else any(kept))

    def after(self, node: Any, passed_on: bool) -> None:
        """Update the masks of a call's inputs and outputs."""
        if not passed_on:
            for x in node.outputs:
                if id(x) not in self._given:
                    self.take_off(x)
        if _takes_off(node.operation):
            for name in ("query", "value", "key"):
                x = _arguments(node).get(name)
                if x is not None:
                    self.take_off(x)


def _is_any(masks: Any) -> bool:
    return any(mask is not None for mask in tree.flatten(masks))


def _arguments(node: Any) -> dict[str, Any]:
    """The arguments of a layer's call by name; empty for operators."""
    if not isinstance(node.operation, keras.Layer):
        return {}
    try:
        bound = inspect.signature(node.operation.call).bind(*node.arguments.args, **node.arguments.kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    return bound.arguments


def _is_tensors(x: Any) -> bool:
    flat = tree.flatten(x)
    return bool(flat) and all(isinstance(one, KerasTensor) for one in flat)


def _needs_all(operation: Any) -> bool:
    """Whether a layer merges masks and returns none if one is missing, as Add does."""
    return "_merge_function" in dir(operation) and not isinstance(operation, keras.layers.Concatenate)


def _takes_off(operation: Any) -> bool:
    """Whether a layer's call removes the masks of its query, value and key."""
    code = getattr(inspect.unwrap(getattr(type(operation), "call", None) or _takes_off), "__code__", None)
    return isinstance(operation, keras.Layer) and code is not None and "set_keras_mask" in code.co_names
