"""The functional graph of a Keras model, if it has one."""

from typing import Any

import keras


def graph_of(operation: Any) -> Any | None:
    """The functional graph of a functional or (built) sequential model; None for everything else."""
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
