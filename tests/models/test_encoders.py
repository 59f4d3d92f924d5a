"""Encoders by name: preprocessing inside the model, clear errors."""

import keras
import numpy as np
import pytest

from gazeback.models import encoders
from gazeback.models.encoders import build_encoder, last_map_layer
from gazeback.models.errors import UserError

FAMILIES = {
    "MobileNetV2": "mobilenet_v2",
    "MobileNet": "mobilenet",
    "InceptionV3": "inception_v3",
    "Xception": "xception",
    "DenseNet121": "densenet",
    "ResNet50V2": "resnet_v2",
    "NASNetMobile": "nasnet",
    "EfficientNetB0": "efficientnet",
    "EfficientNetV2S": "efficientnet_v2",
    "MobileNetV3Small": "mobilenet_v3",
    "ConvNeXtTiny": "convnext",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_preprocessing_in_the_model_equals_keras_own(name):
    image, prepared = encoders._input_and_pixels(name, 8)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    ours = pixels if prepared is image else keras.Model(image, prepared).predict_on_batch(pixels)
    theirs = getattr(keras.applications, FAMILIES[name]).preprocess_input(pixels.copy())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_networks_trained_on_bgr_read_rgb(monkeypatch):
    """VGG's first convolution gives the same on RGB as the original one on Keras' BGR preprocessing."""
    original = {}
    build = keras.applications.VGG16

    def remembering(**options):
        model = build(**options)
        original["weights"] = model.layers[2].get_weights()
        return model

    monkeypatch.setattr(keras.applications, "VGG16", remembering)
    encoder = build_encoder("VGG16", weights=None)
    convolution = keras.layers.Conv2D(64, 3, padding="same", activation="relu")
    convolution.build((None, 224, 224, 3))
    convolution.set_weights(original["weights"])
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    theirs = convolution(keras.applications.vgg16.preprocess_input(pixels.copy()))
    ours = keras.Model(encoder.input, encoder.get_layer("block1_conv1").output).predict_on_batch(pixels)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_the_last_map_has_a_name():
    encoder = build_encoder("efficientnet_lite0", weights=None)
    assert last_map_layer(encoder) == "top_activation"
    assert encoder.output.shape == (None, 7, 7, 1280)


@pytest.mark.parametrize("name", ["NoSuchNet", "vgg16", "imagenet_utils"])
def test_unknown_encoders_are_named_with_the_known_ones(name):
    with pytest.raises(UserError, match=rf"unknown encoder '{name}'; choose efficientnet_lite0 or .*VGG16"):
        build_encoder(name)


def test_weights_that_cannot_be_had_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="weights of MobileNetV2 could not be loaded"):
        build_encoder("MobileNetV2", weights=str(tmp_path / "none.weights.h5"))
