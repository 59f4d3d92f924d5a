"""Quantus: its metrics measure our methods as our own do, and its methods answer with our signature."""

import re
import runpy
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.eval.baselines import explain
from gazeback.eval.flowers.flowers import flower
from gazeback.eval.flowers.network import load_network
from gazeback.eval.metrics.maps import energy_inside, pointing
from gazeback.eval.quantus import for_quantus, from_quantus
from gazeback.eval.subjects.methods import class_maps
from gazeback.models.errors import UserError

EXAMPLE = Path(__file__).parents[2] / "examples/quantus_metrics.py"


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(5)
    image = keras.Input((12, 10, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = nets.randomise(keras.Model(image, x), rng)
    return model, nets.images(rng, 2, model), np.array([2, 0])


@pytest.fixture
def quantus():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield import_module("quantus")
        except ImportError as error:
            pytest.skip(f"quantus is not installed: {error}")


@pytest.mark.parametrize("method", ["evidence", "grad-cam"])
def test_maps_have_a_channel_in_front_whatever_the_layout_of_the_images(asked, method):
    model, images, targets = asked
    found = for_quantus(model, images, targets, method=method, device=None)
    assert found.shape == (2, 1, 12, 10)
    np.testing.assert_array_equal(found[:, 0], class_maps(method, model, images, targets))
    np.testing.assert_array_equal(
        found, for_quantus(model, np.moveaxis(images, -1, 1), targets, method=method)
    )


def test_localisation_is_the_same_figure(quantus):
    drawn = [flower("single-6c", 5, index) for index in range(3)]
    pixels = np.stack([one.image for one in drawn]).astype(np.float32)
    labels, masks = np.array([one.label for one in drawn]), np.stack([one.mask for one in drawn])
    model = load_network("single-6c").model
    maps = class_maps("evidence", model, pixels, labels)
    for name, ours in (("RelevanceMassAccuracy", energy_inside), ("PointingGame", pointing)):
        metric = getattr(quantus, name)(disable_warnings=True)
        theirs = metric(
            model=model, x_batch=pixels, y_batch=labels, a_batch=None, s_batch=masks[:, None],
            channel_first=False, explain_func=for_quantus,
        )  # fmt: skip
        np.testing.assert_allclose(np.array(theirs, float), np.diag(ours(maps, masks)), rtol=1e-5)


def test_the_example_has_two_figures_for_each_kind_of_metric(quantus, capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    rows = re.findall(r"^  (\w+): [a-z ]+? +(\S+) +(\S+)$", capsys.readouterr().out, flags=re.MULTILINE)
    kinds = ["faithfulness", "localisation", "randomisation", "robustness", "complexity"]
    assert [name for name, _, _ in rows] == kinds * 2
    assert all(np.isfinite([float(one), float(other)]).all() for _, one, other in rows)
    assert all(one == other for name, one, other in rows if name == "localisation")


def test_a_method_of_quantus_answers_with_our_signature(asked, monkeypatch):
    model, images, targets = asked
    given = {}

    def theirs(*arguments, **options):
        given["arguments"], given["options"] = arguments, options
        return np.ones((2, 12, 10, 3))

    monkeypatch.setitem(sys.modules, "quantus", SimpleNamespace(explain=theirs))
    found = explain("quantus-gradient-input", model, images, targets, n_steps=3)
    np.testing.assert_array_equal(found, np.full((2, 12, 10), 3, np.float32))
    assert given["arguments"][0] is model
    assert given["arguments"][2].tolist() == [2, 0]
    assert given["options"] == {
        "method": "GradientsInput", "softmax": False, "channel_first": False, "n_steps": 3,
    }  # fmt: skip
    with pytest.raises(UserError, match="Quantus explains classes of a model with one image input"):
        explain("quantus-gradient-input", model, images, 1, layer=model.layers[1].name)


def test_what_quantus_cannot_do_is_one_line(asked, monkeypatch):
    def theirs(*_, **options):
        raise NameError("name 'torch' is not defined\nand more")

    monkeypatch.setitem(sys.modules, "quantus", SimpleNamespace(explain=theirs))
    with pytest.raises(UserError, match=r"^Quantus cannot explain '.*': name 'torch' is not defined$"):
        from_quantus("GradCAM")(*asked[:2])
    monkeypatch.setitem(sys.modules, "quantus", None)
    with pytest.raises(UserError, match="needs the package quantus, which cannot be imported"):
        from_quantus("GradCAM")(*asked[:2])
