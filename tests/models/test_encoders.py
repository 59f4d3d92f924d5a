"""Encoders by name: preprocessing inside the model, clear errors."""

import keras
import numpy as np
import pytest

from gazeback.models.encoders import build_encoder, last_map_layer
from gazeback.models.errors import UserError

PIXELS = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("MobileNetV2", keras.applications.mobilenet_v2.preprocess_input),
        ("MobileNet", keras.applications.mobilenet.preprocess_input),
        ("DenseNet121", keras.applications.densenet.preprocess_input),
        ("ResNet50V2", keras.applications.resnet_v2.preprocess_input),
        ("NASNetMobile", keras.applications.nasnet.preprocess_input),
        ("EfficientNetB0", lambda pixels: pixels),
        ("MobileNetV3Small", lambda pixels: pixels),
    ],
)
def test_preprocessing_in_the_model_equals_keras_own(name, preprocess):
    encoder = build_encoder(name, weights=None)
    own = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(224, 224, 3))
    own.set_weights(encoder.get_weights()[-len(own.get_weights()) :])
    first = next(i for i, layer in enumerate(own.layers) if isinstance(layer, keras.layers.Conv2D))
    ours = keras.Model(encoder.input, encoder.get_layer(own.layers[first].name).output)
    theirs = keras.Model(own.input, own.layers[first].output)
    np.testing.assert_allclose(
        ours.predict_on_batch(PIXELS), theirs.predict_on_batch(preprocess(PIXELS.copy())), atol=1e-3
    )


@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
def test_networks_trained_on_bgr_read_rgb(name, monkeypatch):
    """The first convolution of the RGB encoder equals the original one on Keras' BGR preprocessing."""
    original = {}
    build = getattr(keras.applications, name)

    def remembering(**options):
        model = build(**options)
        layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
        original.update(name=layer.name, weights=layer.get_weights())
        return model

    monkeypatch.setattr(keras.applications, name, remembering)
    encoder = build_encoder(name, weights=None)
    own = build(include_top=False, weights=None, input_shape=(224, 224, 3))
    layer = next(layer for layer in own.layers if isinstance(layer, keras.layers.Conv2D))
    layer.set_weights(original["weights"])
    bgr = keras.applications.vgg16.preprocess_input(PIXELS.copy())
    theirs = keras.Model(own.input, layer.output).predict_on_batch(bgr)
    ours = keras.Model(encoder.input, encoder.get_layer(original["name"]).output).predict_on_batch(PIXELS)
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
