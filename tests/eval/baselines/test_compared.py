"""The compared methods by name: one signature, every kind of network."""

import inspect
import re
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers
from twins import nets

from gazeback.cnn_trace import METHODS
from gazeback.eval.baselines import explain
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.baselines.short_routes import Question
from gazeback.eval.command import evaluate
from gazeback.eval.subjects.captioner import CaptionerSubject
from gazeback.grounding import methods
from gazeback.grounding.methods import known_methods, load_method
from gazeback.models.errors import UserError

FROM_XPLIQUE = ("rise", "lime", "kernel-shap", "sobol", "hsic")
FROM_QUANTUS = ("quantus-gradient-input", "quantus-integrated-gradients")
OPTIONS = {
    "smoothgrad": {"samples": 3},
    "integrated-gradients": {"steps": 3},
    "occlusion": {"size": 4, "stride": 4},
}
COMPARED = [name for name in known_methods() if name not in METHODS]
OF_ATTENTION = ("attention", "attention-rollout", "chefer")
OURS = [name for name in COMPARED if name not in (*FROM_XPLIQUE, *FROM_QUANTUS, *OF_ATTENTION)]


@pytest.mark.parametrize("name", COMPARED)
def test_one_signature(name):
    method = load_method(name)
    parameters = inspect.signature(method).parameters
    assert list(parameters)[:5] == ["model", "images", "target", "layer", "output"]
    kinds = [parameter.kind for parameter in parameters.values()]
    assert kinds[:3] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 3
    assert inspect.Parameter.POSITIONAL_OR_KEYWORD not in kinds[3:]
    assert [str(parameter) for parameter in parameters.values()][:5] == [
        "model: 'keras.Model'",
        "images: 'Any'",
        "target: 'Any' = None",
        "layer: 'str | None' = None",
        "output: 'int | str' = 0",
    ]
    assert method.__doc__


@pytest.fixture(scope="module")
def network():
    """A nested model with two outputs, fused and separate rectifiers, and a batch normalisation."""
    rng = np.random.default_rng(3)
    inner = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6")(inner)
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    trunk = keras.Model(inner, layers.ReLU(6.0, name="last")(x), name="trunk")
    image = keras.Input((16, 16, 3))
    pooled = layers.GlobalAveragePooling2D()(trunk(image))
    first = layers.Dense(5, activation="softmax", name="first")(pooled)
    second = layers.Dense(2, activation="softmax", name="second")(pooled)
    model = nets.randomise(keras.Model(image, [first, second]), rng)
    return model, nets.images(rng, 2, model)


@pytest.mark.parametrize("name", OURS)
def test_every_method_answers_for_every_output(network, name):
    model, images = network
    options = OPTIONS.get(name, {})
    first = explain(name, model, images, 1, **options)
    second = explain(name, model, images, np.array([1, 0]), output=1, **options)
    for maps in (first, second):
        assert maps.shape == (2, 16, 16)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()
    if name not in ("activation", "activation-map", "center"):
        assert np.abs(first - second).max() > 0
    np.testing.assert_array_equal(first, explain(name, model, images, 1, **options))


@pytest.mark.parametrize("name", [name for name in OURS if name not in ("cam", "activation")])
def test_every_method_answers_for_a_filter(network, name):
    model, images = network
    maps = explain(name, model, images, 2, layer="trunk/last", **OPTIONS.get(name, {}))
    assert maps.shape == (2, 16, 16)
    assert np.isfinite(maps).all()


def test_one_image_needs_no_batch_axis(network):
    model, images = network
    np.testing.assert_allclose(
        explain("saliency", model, images[0], 1), explain("saliency", model, images[:1], 1), rtol=1e-6
    )


def recipe(language):
    """A block of the recipe for a compared method, docs/architecture.md."""
    page = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    section = page.split("## Recipe: a compared method")[1].split("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]


def test_the_recipe_is_one_function_and_one_entry(network, captioner, colours, squares_folder, monkeypatch):
    written, entry = recipe("py").splitlines(), recipe("toml").splitlines()
    assert len(written) <= 5
    group, (name, place) = entry[0], entry[1].split(" = ")
    assert (group, len(entry)) == ('[project.entry-points."gazeback.methods"]', 2)
    module, function = place.strip('"').split(":")
    scope = {"np": np, "Query": Query, "compared": compared}
    exec("\n".join(written), scope)
    monkeypatch.setattr(import_module(module), function, scope[function], raising=False)
    point = EntryPoint(name, place.strip('"'), methods.GROUP)
    monkeypatch.setattr(methods, "entry_points", lambda group: [*entry_points(group=group), point])

    assert list(inspect.signature(load_method(name)).parameters) == [
        *("model", "images", "target", "layer", "output", "constant")
    ]
    model, images = network
    found = explain(name, model, images, 1, constant=2.0)
    np.testing.assert_allclose(found, 2 * images.mean(axis=-1), rtol=1e-6)
    pixels = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    question = Question(pixels, captioner.features(pixels[None])[0], [3, 4, 5], [0, 2])
    assert CaptionerSubject(captioner).maps(name, question).shape == (2, 32, 32)
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: colours)
    arguments = ["localization", "--data", str(squares_folder), "--methods", name]
    assert (
        name in CliRunner(env={"COLUMNS": "200"}).invoke(evaluate, arguments, catch_exceptions=False).output
    )


@pytest.fixture(scope="module")
def layouts():
    """The same network with its channels last and with its channels first."""

    def build(data_format):
        image = keras.Input((16, 16, 3) if data_format == "channels_last" else (3, 16, 16))
        same = {"padding": "same", "data_format": data_format}
        x = layers.Conv2D(4, 3, strides=2, activation="relu", **same)(image)
        x = layers.SeparableConv2D(5, 3, activation="relu", **same)(x)
        x = layers.GlobalAveragePooling2D(data_format=data_format)(x)
        return keras.Model(image, layers.Dense(3)(x))

    rng = np.random.default_rng(4)
    last, first = nets.randomise(build("channels_last"), rng), build("channels_first")
    first.set_weights(last.get_weights())
    return last, first, nets.images(rng, 2, last)


@pytest.mark.parametrize("name", ["gradient-input", "guided-backprop", "grad-cam", "occlusion", "c-mwp"])
def test_channels_first_and_last_answer_the_same(layouts, name):
    last, first, images = layouts
    options = {"resample": True} if name == "guided-backprop" else OPTIONS.get(name, {})
    expected = explain(name, last, images, 1, **options)
    found = explain(name, first, np.moveaxis(images, -1, 1), 1, **options)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_unknown_methods_are_refused(network):
    with pytest.raises(UserError, match="unknown method 'gradcam'; there are activation, activation-"):
        explain("gradcam", *network)


def test_the_package_loads_no_tensorflow_by_itself():
    import subprocess
    import sys

    code = "import sys, gazeback.eval.baselines; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
