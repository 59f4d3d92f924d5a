"""Weights in .npz and .onnx files: layouts, flattened maps, and files that are not what they should be."""

import keras
import numpy as np
import pytest

from gazeback.models.classifiers import weight_files
from gazeback.models.errors import ModelError

RANDOM = np.random.default_rng(1)


def network():
    """Two convolutions (one grouped) and a dense layer over a flattened map, with a Caffe-like name."""
    image = keras.Input((5, 5, 4))
    x = keras.layers.Conv2D(6, 3, groups=2, name="block_3x3")(image)
    x = keras.layers.Flatten()(keras.layers.Conv2D(3, 2, name="conv2")(x))
    return keras.Model(image, keras.layers.Dense(7, name="fc6")(x), name="small")


def caffe_arrays():
    """Channels-first arrays, as Caffe2 exports them."""
    shapes = {"block/3x3": (6, 2, 3, 3), "conv2": (3, 6, 2, 2), "fc6": (7, 3 * 2 * 2)}
    arrays = {f"{name}_w_0": RANDOM.normal(size=shape) for name, shape in shapes.items()}
    arrays |= {f"{name}_b_0": RANDOM.normal(size=shape[0]) for name, shape in shapes.items()}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def forward(arrays, image):
    """The network on ``[rows, columns, channels]`` in plain loops, channels first."""
    x = image.transpose(2, 0, 1)
    for name, groups in (("block/3x3", 2), ("conv2", 1)):
        kernel, bias = arrays[f"{name}_w_0"], arrays[f"{name}_b_0"]
        outputs, inputs, size, _ = kernel.shape
        side = x.shape[1] - size + 1
        y = np.empty((outputs, side, side))
        for out, row, column in np.ndindex(*y.shape):
            first = out // (outputs // groups) * inputs
            window = x[first : first + inputs, row : row + size, column : column + size]
            y[out, row, column] = (window * kernel[out]).sum() + bias[out]
        x = y
    return arrays["fc6_w_0"] @ x.ravel() + arrays["fc6_b_0"]


@pytest.fixture
def onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the optional package onnx is not installed")
    from onnx import helper, numpy_helper

    arrays = caffe_arrays()
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    tensors.append(numpy_helper.from_array(np.array([1, 12]), "OC2_DUMMY_1"))
    graph = helper.make_graph([], "small", [], [], initializer=tensors)
    path = tmp_path / "bvlc_small.onnx"
    onnx.save(helper.make_model(graph), str(path))
    return path, arrays


def test_onnx_weights_compute_what_caffe_computes(onnx_file):
    path, arrays = onnx_file
    model = network()
    weight_files.load(model, path, {"fc6": (2, 2, 3)})
    image = RANDOM.normal(size=(5, 5, 4)).astype(np.float32)
    answer = np.asarray(model(image[None]))[0]
    np.testing.assert_allclose(answer, forward(arrays, image), rtol=1e-4, atol=1e-4)


def test_a_map_of_another_size_is_named(onnx_file):
    path, _ = onnx_file
    with pytest.raises(ModelError, match=r"expected a dense kernel over a map \(3, 3, 3\)"):
        weight_files.load(network(), path, {"fc6": (3, 3, 3)})


def test_onnx_without_the_package(onnx_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ModelError, match="reading ONNX files needs the package onnx: pip install onnx"):
        weight_files.load(network(), onnx_file[0], {})


def npz(path, **changes):
    model = network()
    arrays = {}
    for layer in model.layers:
        if layer.weights:
            name = layer.name.replace("block_", "block/")
            arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = layer.get_weights()
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return model


def test_npz_weights(tmp_path):
    original, model = npz(tmp_path / "w.npz"), network()
    weight_files.load(model, tmp_path / "w.npz", {})
    for ours, theirs in zip(model.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("change", [{"conv2/bias": None}, {"conv2/bias": np.zeros(5, np.float32)}])
def test_weights_of_another_network_name_the_layer(tmp_path, change):
    npz(tmp_path / "w.npz", **change)
    with pytest.raises(ModelError, match=r"not the weights of small: layer conv2 needs arrays of the shapes"):
        weight_files.load(network(), tmp_path / "w.npz", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("w.npz", "no complete zip archive, so not an .npz file of weights"),
        ("w.onnx", "not an ONNX file, or a broken one"),
        ("w.caffemodel", "expected an .npz or .onnx file"),
    ],
)
def test_broken_files(tmp_path, name, message):
    if name.endswith("onnx"):
        pytest.importorskip("onnx", reason="the optional package onnx is not installed")
    (tmp_path / name).write_bytes(b"\xff\xff nothing of the kind")
    with pytest.raises(ModelError, match=message):
        weight_files.load(network(), tmp_path / name, {})


def test_the_file_in_a_folder(tmp_path):
    with pytest.raises(ModelError, match=r"found no such file in the folder; expected the weights of small"):
        weight_files.find(tmp_path, ("*small*.npz", "*small*.onnx"), "small")
    (tmp_path / "my_small.npz").touch()
    assert weight_files.find(tmp_path, ("*small*.npz",), "small") == tmp_path / "my_small.npz"
    (tmp_path / "small2.npz").touch()
    with pytest.raises(ModelError, match=r"found my_small.npz, small2.npz in the folder"):
        weight_files.find(tmp_path, ("*small*.npz",), "small")


def test_doodlenet_refuses_other_weights(tmp_path):
    from gazeback.models import load_classifier

    (tmp_path / "doodlenet.h5").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not the weights of doodlenet"):
        load_classifier("doodlenet", tmp_path)
