"""Read published weights of networks trained in Caffe: ``.npz`` and ``.onnx`` files, layer by layer."""

import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers

from gazeback.models.classifiers.caffe_layers import layer_name
from gazeback.models.errors import ModelError, first_line
from gazeback.models.reading import is_file, read_arrays, regular_file

# Keras layer name -> {"kernel": ..., "bias": ...} in Keras' own layouts.
Arrays = dict[str, dict[str, np.ndarray]]
ONNX_PARTS = {"_w_0": "kernel", "_b_0": "bias"}


def find(weights: str | Path, patterns: tuple[str, ...], network: str) -> Path:
    """Find the weights file: ``path`` itself, or the one file in a folder whose name fits one of the
    ``patterns``.

    Raises:
        ModelError: there is no such file or folder, or no file or several in the folder fit.
    """
    path = Path(weights)
    expected = f"expected the weights of {network}: a file, or a folder with {' or '.join(patterns)}"
    if is_file(path):
        return path
    if not os.path.isdir(path):
        raise ModelError(f"{path}: no such file or folder; {expected}")
    found = sorted({file for pattern in patterns for file in path.glob(pattern)})
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "no such file"
        raise ModelError(f"{path}: found {names} in the folder; {expected}")
    return found[0]


def load(model: keras.Model, path: Path, flattened: Mapping[str, tuple[int, int, int]]) -> None:
    """Set the weights of every layer of ``model`` to the arrays of the file.

    ``flattened``: for dense layers that read a flattened map, the map's (rows, columns, channels). It is
    needed because ONNX files flatten channels first. Raises ModelError: the file is broken, or is not of this
    network.
    """
    if path.suffix == ".npz":
        arrays = read_npz(path)
    elif path.suffix == ".onnx":
        arrays = read_onnx(path)
        for name, shape in flattened.items():
            if "kernel" in arrays.get(name, {}):
                arrays[name]["kernel"] = channels_last(arrays[name]["kernel"], shape, path)
    else:
        raise ModelError(f"{path}: expected an .npz or .onnx file with the weights of {model.name}")
    _assign(model, arrays, path)


def read_npz(path: Path) -> Arrays:
    """Arrays named ``LAYER/kernel`` and ``LAYER/bias``, kernels as ``[height, width, in, out]``."""
    arrays: Arrays = {}
    for key, value in read_arrays(path, str(path), "an .npz file of weights", ModelError).items():
        name, _, part = key.rpartition("/")
        arrays.setdefault(layer_name(name), {})[part] = value
    return arrays


def read_onnx(path: Path) -> Arrays:
    """The initializers ``LAYER_w_0`` and ``LAYER_b_0`` of a network that Caffe2 exported."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise ModelError(f"{path}: reading ONNX files needs the package onnx: pip install onnx") from None
    regular_file(path, "an ONNX file", ModelError)
    try:
        initializers = onnx.load(str(path)).graph.initializer
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in initializers}
    except Exception as error:  # protobuf and onnx raise classes of their own
        raise ModelError(f"{path}: not an ONNX file, or a broken one ({first_line(error)})") from None
    arrays: Arrays = {}
    for key, value in values.items():
        name, part = key[:-4], ONNX_PARTS.get(key[-4:])
        if part is not None:
            arrays.setdefault(layer_name(name), {})[part] = _keras_layout(value)
    return arrays


def _keras_layout(value: np.ndarray) -> np.ndarray:
    """Transpose ONNX's ``[out, in, height, width]`` and ``[out, in]`` to Keras' layout; a bias stays as it
    is."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.T


def channels_last(kernel: np.ndarray, shape: tuple[int, int, int], path: Path) -> np.ndarray:
    """Reorder a dense kernel ``[channels * rows * columns, out]`` to ``[rows * columns * channels, out]``."""
    rows, columns, channels = shape
    if kernel.ndim != 2 or len(kernel) != rows * columns * channels:
        raise ModelError(f"{path}: expected a dense kernel over a map {shape}, got shape {kernel.shape}")
    first = kernel.reshape(channels, rows, columns, -1)
    return first.transpose(1, 2, 0, 3).reshape(len(kernel), -1)


def _assign(model: keras.Model, arrays: Arrays, path: Path) -> None:
    for layer in model.layers:
        if not layer.weights:
            continue
        parts = arrays.get(layer.name, {})
        given = [parts.get("kernel"), parts.get("bias")]
        expected = [tuple(weight.shape) for weight in layer.weights]
        shapes = [None if array is None else array.shape for array in given]
        finite = all(np.isfinite(array).all() for array in parts.values() if array.dtype.kind == "f")
        if not finite:
            raise ModelError(f"{path}: layer {layer.name} has weights that are NaN or infinite")
        if shapes != expected or not isinstance(layer, layers.Conv2D | layers.Dense):
            raise ModelError(
                f"{path}: not the weights of {model.name}: layer {layer.name} needs arrays of the shapes "
                f"{expected}, the file has {shapes}"
            )
        layer.set_weights(given)
