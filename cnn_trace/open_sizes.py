"""Reshapes of symbolic tensors whose batch size is not known yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import keras


def _operator() -> Any:
    found = keras.ops.reshape(keras.KerasTensor((None, 1)), (-1, 1))
    return type(found._keras_history.operation)


_RESHAPE = _operator()


@contextmanager
def open_sizes(images: int | None = None) -> Iterator[None]:
    """Meanwhile ``ops.reshape(x, (ops.shape(x)[0], -1))`` leaves the batch axis of a symbolic tensor open.

    Without it Keras writes None into the new shape, and the operator cannot run. ``images``: how many images
    the symbolic tensors say that they hold, where they do.
    """
    known = _RESHAPE.compute_output_spec

    def spec(operator: Any, x: Any) -> Any:
        new, old = operator.newshape, x.shape
        if images is not None and isinstance(new, tuple) and new[:1] == (images,) == tuple(old[:1]):
            new, old = (None, *new[1:]), (None, *old[1:])
        operator.newshape = _without_none(new, old)
        if hasattr(operator, "_auto_config"):  # what a file says of it
            operator._auto_config.config["newshape"] = operator.newshape
        return known(operator, x)

    _RESHAPE.compute_output_spec = spec
    try:
        yield
    finally:
        _RESHAPE.compute_output_spec = known


def _without_none(new: Any, old: Sequence[int | None]) -> Any:
    """A new shape with -1 in the place of its one None, and the size that -1 stood for."""
    if not isinstance(new, tuple) or new.count(None) != 1 or list(old).count(None) != 1:
        return new
    rest = prod(side for side in old if side is not None)
    given = prod(side for side in new if side not in (None, -1))
    return tuple(-1 if side is None else rest // given if side == -1 else side for side in new)
