"""Models that answer with one unit: two classes if it is a sigmoid, a regression otherwise."""

from typing import Any

import keras
import numpy as np

OUTPUT = "output"
"""The name of a regression's answer."""


def two_classes(model: keras.Model) -> keras.Model | None:
    """The same model with two outputs instead of one sigmoid unit: 1 - p and p; None for any other unit.

    p = sigmoid(z) is the second of softmax(-z/2, z/2). So each class has a logit of its own, and evidence for
    one is evidence against the other. The layers before are shared with ``model``.
    """
    outputs: list[Any] = list(getattr(model, "outputs", None) or [])
    history = getattr(outputs[0], "_keras_history", None) if len(outputs) == 1 else None
    if history is None or not isinstance(history.operation, keras.Operation):
        return None
    operation = history.operation
    (before, *others) = operation._inbound_nodes[history.node_index].input_tensors
    if others:
        return None
    answer = _of_last(operation, before)
    return None if answer is None else keras.Model(model.inputs, answer, name=model.name)


def _of_last(operation: Any, before: keras.KerasTensor) -> keras.KerasTensor | None:
    """The two outputs, where ``operation`` reads ``before`` and makes the one unit."""
    if isinstance(operation, keras.Model):
        inner = two_classes(operation)
        return None if inner is None else inner(before)
    if isinstance(operation, keras.layers.Dense) and _is_sigmoid(operation.activation):
        weights = operation.get_weights()
        return _halves(before, operation.name, weights[0], weights[1] if operation.use_bias else np.zeros(1))
    is_layer = isinstance(operation, keras.layers.Activation) and _is_sigmoid(operation.activation)
    if is_layer or type(operation).__name__ == "Sigmoid":
        return _halves(before, operation.name, np.ones((1, 1)), np.zeros(1))
    return None


def _is_sigmoid(activation: Any) -> bool:
    return activation is keras.activations.sigmoid


def _halves(before: keras.KerasTensor, name: str, kernel: np.ndarray, bias: np.ndarray) -> keras.KerasTensor:
    layer = keras.layers.Dense(2, activation="softmax", name=name)
    answer = layer(before)
    halves = np.array([-0.5, 0.5], np.float32)
    layer.set_weights([kernel * halves, bias * halves])
    return answer
