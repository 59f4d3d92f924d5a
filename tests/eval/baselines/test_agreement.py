"""The same numbers as two other packages, on a flat model and where the definitions agree."""

import warnings
from importlib import import_module

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.eval.baselines import explain
from gazeback.eval.baselines.adapters import superpixels
from gazeback.models.errors import UserError


def imported(name):
    """A package that is not ours, with what it warns of while it is imported kept quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} is not installed: {error}")


@pytest.fixture(scope="module")
def asked():
    """A flat model of logits, whose maps "fine" and "coarse" are as large as its images and a quarter."""
    rng = np.random.default_rng(5)
    x = image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="fine")(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="plain")(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="coarse")(x)
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    model = nets.randomise(keras.Model(image, layers.Dense(4, name="logits")(x)), rng)
    images = nets.images(rng, 3, model)
    return model, images, np.asarray(model(images)).argmax(axis=1)


def assert_agree(found, expected):
    assert np.std(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


XPLIQUE = {
    "saliency": ("Saliency", {"reducer": "max"}, {}),
    "gradient-input": ("GradientInput", {"reducer": "sum"}, {}),
    "integrated-gradients": ("IntegratedGradients", {"reducer": "sum", "steps": 300}, {"steps": 300}),
    "guided-backprop": ("GuidedBackprop", {"reducer": None}, {"raw": True}),
    "deconvnet": ("DeconvNet", {"reducer": None}, {"raw": True}),
    "grad-cam": ("GradCAM", {"conv_layer": "fine"}, {"at": "fine"}),
    "occlusion": (
        "Occlusion",
        {"patch_size": 4, "patch_stride": 4, "occlusion_value": 0.0},
        {"size": 4, "stride": 4, "fill": 0.0, "score": "logit"},
    ),
}


@pytest.mark.parametrize("name", XPLIQUE)
def test_xplique(asked, name):
    model, images, target = asked
    class_name, theirs, ours = XPLIQUE[name]
    explainer = getattr(imported("xplique.attributions"), class_name)(model, **theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(explainer.explain(images, np.eye(4, dtype=np.float32)[target]))
    found = explain(name, model, images, target, **ours)
    assert_agree(found, expected.reshape(found.shape))
    if name != "integrated-gradients":
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-3, atol=1e-4)


TF_KERAS_VIS = {
    "saliency": ("saliency", "Saliency", {}),
    "grad-cam": ("gradcam", "Gradcam", {"at": "coarse", "raw": True}),
    "grad-cam++": ("gradcam_plus_plus", "GradcamPlusPlus", {"at": "coarse", "raw": True, "normalize": True}),
    "layer-cam": ("layercam", "Layercam", {"at": "coarse", "raw": True}),
}


@pytest.mark.parametrize("name", TF_KERAS_VIS)
def test_tf_keras_vis(asked, name):
    model, images, target = asked
    module, class_name, ours = TF_KERAS_VIS[name]
    visualiser = getattr(imported(f"tf_keras_vis.{module}"), class_name)(model, clone=False)
    score = imported("tf_keras_vis.utils.scores").CategoricalScore(target.tolist())
    options = {"penultimate_layer": "coarse", "expand_cam": False, "normalize_cam": False} if ours else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = visualiser(score, images, **options)
    assert_agree(explain(name, model, images, target, **ours), np.asarray(expected))


def quarters(image):
    """Superpixels of 4 x 4 pixels."""
    rows, columns = np.indices((16, 16)) // 4
    return (4 * rows + columns).astype("int32")


@pytest.mark.parametrize(
    ("name", "class_name", "options"),
    [
        ("rise", "Rise", {"nb_samples": 40, "grid_size": 4}),
        ("kernel-shap", "KernelShap", {"nb_samples": 40, "map_to_interpret_space": quarters}),
        ("lime", "Lime", {"nb_samples": 40, "map_to_interpret_space": quarters}),
    ],
)
def test_methods_that_xplique_brings(asked, name, class_name, options):
    """The adapter hands over the model's logits: as xplique gets from the model itself."""
    import tensorflow as tf

    model, images, target = asked
    attributions = imported("xplique.attributions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf.random.set_seed(1)
        np.random.seed(1)
        theirs = getattr(attributions, class_name)(model, **options)
        expected = np.asarray(theirs.explain(images, np.eye(4, dtype=np.float32)[target]))
        tf.random.set_seed(1)
        np.random.seed(1)
        found = explain(name, model, images, **options)
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("scale", [1, 255])
def test_superpixels_follow_colours_in_any_range(scale):
    image = np.zeros((40, 40, 3), np.float32)
    image[:, 20:] = scale * np.array([1, 0.2, 0])
    segments = superpixels(image)
    assert segments.shape == (40, 40)
    assert not set(segments[:, :20].ravel()) & set(segments[:, 20:].ravel())


def test_a_missing_package_is_named(asked, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xplique.attributions", None)
    with pytest.raises(UserError, match="needs the package xplique, which cannot be imported"):
        explain("rise", *asked[:2])
