"""EfficientNet-Lite0: the architecture's published size, its layers by hand, its accuracy on real images."""

import json

import numpy as np
import pytest
from PIL import Image

from gazeback.models import efficientnet_lite
from gazeback.models.efficientnet_lite import BATCH_NORM_EPSILON
from gazeback.models.torch_pickle import read_state_dict


@pytest.fixture(scope="module")
def network():
    return efficientnet_lite.efficientnet_lite0()


def test_size_and_names(network):
    assert network.count_params() == 4_694_024  # 4 652 008 learned, as published, and 42 016 batch statistics
    names = [layer.name for layer in network.layers]
    assert names[:3] == ["image", "rescaling", "stem_conv"]
    assert efficientnet_lite.block_names()[0] == "block1a"
    assert efficientnet_lite.block_names()[-1] == "block7a"
    assert network.get_layer(efficientnet_lite.LAST_MAP).output.shape == (None, 7, 7, 1280)
    assert network.get_layer("block6d_add").output.shape == (None, 7, 7, 192)


def test_every_array_of_the_file_is_used(network):
    state = read_state_dict(efficientnet_lite.imagenet_weights_path())
    arrays = [array for name, array in state.items() if not name.endswith("num_batches_tracked")]
    assert sum(array.size for array in arrays) == network.count_params()
    assert sum(float(np.abs(array).sum()) for array in arrays) == pytest.approx(
        sum(float(np.abs(array).sum()) for layer in network.layers for array in layer.get_weights()), rel=1e-5
    )


def test_the_stem_by_hand(network):
    """(x - 127) / 128, TensorFlow's SAME padding (nothing at the top, one row below), batch norm, ReLU6."""
    import keras

    state = read_state_dict(efficientnet_lite.imagenet_weights_path())
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    stem = keras.Model(network.input, network.get_layer("stem_activation").output)
    answer = np.asarray(stem.predict_on_batch(pixels))[0]
    padded = np.pad((pixels[0] - 127) / 128, ((0, 1), (0, 1), (0, 0)))
    kernel = state["_conv_stem.weight"]  # [out, in, row, column]
    for row, column in [(0, 0), (5, 60), (111, 111)]:
        window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        value = np.einsum("oirc,rci->o", kernel, window)
        value = (value - state["_bn0.running_mean"]) / np.sqrt(state["_bn0.running_var"] + BATCH_NORM_EPSILON)
        value = np.clip(value * state["_bn0.weight"] + state["_bn0.bias"], 0, 6)
        np.testing.assert_allclose(answer[row, column], value, atol=1e-4)


def test_top_1_on_imagenet_photos(network, data_pack):
    """On the first 60 of the 500 photos (all 500: see docs/captioner.md)."""
    folder = data_pack / "imagenet_val"
    photos = json.loads((folder / "annotations.json").read_text())["images"][:60]
    images = [Image.open(folder / "images" / photo["file_name"]).convert("RGB") for photo in photos]
    pixels = np.stack([np.asarray(image.crop((1, 1, 225, 225)), np.float32) for image in images])
    hits = network.predict_on_batch(pixels).argmax(axis=1) == [photo["label"] for photo in photos]
    assert hits.mean() > 0.7
