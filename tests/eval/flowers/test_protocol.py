"""The curve of the IoU and its area, the maps and their settings, how settings are chosen, the task."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from twins import iou_curves

from gazeback.eval.command import evaluate
from gazeback.eval.flowers import maps as flower_maps
from gazeback.eval.flowers import task as flowers_task
from gazeback.eval.flowers.flowers import KINDS, flowers
from gazeback.eval.flowers.maps import build_maps, settings_of
from gazeback.eval.flowers.network import build, classifier_of, load_network
from gazeback.eval.flowers.protocol import (
    PUBLISHED,
    THRESHOLDS,
    Measured,
    area_under,
    choose,
    class_mean,
    iou_curve,
    measure,
    summarise,
)
from gazeback.eval.flowers.task import FlowersTask
from gazeback.grounding.methods import is_traced
from gazeback.models.errors import ModelError, UserError

METHODS = ("evidence", "fixations", "guided-backprop-resampled", "filter", "center", "image")


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return classifier_of("single-6c", build(6))


@pytest.mark.parametrize("seed", range(8))
def test_curves_and_areas_against_the_twin(seed):
    random = np.random.default_rng(seed)
    heat = np.round(random.random((7, 9)) ** 2, 1 if seed % 2 else 6)
    mask = random.random((7, 9)) < 0.3
    curve = iou_curve(heat, mask)
    np.testing.assert_allclose(curve, iou_curves.iou_curve(heat, mask, THRESHOLDS))
    assert area_under(curve) == pytest.approx(iou_curves.area(curve, THRESHOLDS))


def test_curves_by_hand():
    mask = np.array([[True, True, False, False]])
    heat = np.array([[1.0, 0.5, 0.25, 0.0]])
    curve = dict(zip(THRESHOLDS.round(2), iou_curve(heat, mask), strict=True))
    assert curve[0.0] == 2 / 4  # everything
    assert curve[0.05] == curve[0.25] == 2 / 3  # three pixels, two of them right
    assert curve[0.3] == curve[0.5] == 1
    assert curve[0.55] == curve[1.0] == 1 / 2


def test_areas_by_hand():
    assert area_under(np.ones(21)) == pytest.approx(1)
    assert area_under(THRESHOLDS) == pytest.approx(0.5)
    assert area_under([1, *np.zeros(20)]) == pytest.approx(0.025)


def test_the_whole_picture_reaches_the_share_of_the_mask_and_nothing_reaches_nothing():
    mask = np.zeros((8, 8), bool)
    mask[:2] = True
    assert area_under(iou_curve(np.ones((8, 8)), mask)) == pytest.approx(0.25)
    assert area_under(iou_curve(np.zeros((8, 8)), mask)) == 0
    assert area_under(iou_curve(mask.astype(float), mask)) == pytest.approx(1 - 0.025 * 0.75)


def test_a_map_is_measured_whatever_its_scale():
    random = np.random.default_rng(0)
    heat, mask = random.random((6, 6)).astype(np.float32), random.random((6, 6)) < 0.5
    np.testing.assert_array_equal(iou_curve(heat, mask), iou_curve(heat * 4, mask))


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_has_maps_and_the_first_is_as_published(name, network):
    drawn = list(flowers("single-6c", 9, range(2)))
    pixels = np.stack([each.image for each in drawn]).astype(np.float32)
    found = build_maps(name, network, "single-6c")(pixels, np.array([each.label for each in drawn], np.int32))
    assert len(found) == len(settings_of(name))
    for maps in found:
        assert maps.shape == (2, 128, 128)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()
        assert (maps >= 0).all()
    first = settings_of(name)[0]
    assert first.get("power", 1) == 1
    assert first.get("blur", 0) == (0.025 if name == "evidence" else 0.04 if is_traced(name) else 0)


def test_the_strongest_filter_is_the_one_that_contributes_most(network):
    """Against a head in plain NumPy: the rectified dense layer's units, and the class's weights of them."""
    pixels = np.stack([each.image for each in flowers("single-6c", 9, range(3))]).astype(np.float32)
    classes = np.array([0, 3, 5], np.int32)
    model = network.model
    last = np.asarray(keras.Model(model.input, model.get_layer("pool3").output)(pixels))
    (first, bias), (second, _) = (model.get_layer(name).get_weights() for name in ("hidden", "classes"))
    found = flower_maps.strongest_filter(network, pixels, classes)
    for activations, target, heat in zip(last, classes, found, strict=True):
        opened = activations.ravel() @ first + bias > 0
        coefficients = (first[:, opened] @ second[opened, target]).reshape(activations.shape)
        best = (coefficients * activations).sum(axis=(0, 1)).argmax()
        corners = heat[0, 0], heat[-1, -1]  # upsampling repeats the edges
        expected = activations[0, 0, best], activations[-1, -1, best]
        np.testing.assert_allclose(corners, expected, rtol=1e-5)


def test_the_disc_in_the_middle_grows_with_its_radius():
    maps = build_maps("center", None, "single-6c")(np.zeros((1, 128, 128, 3)), np.zeros(1))
    for setting, heat in zip(settings_of("center"), maps, strict=True):
        assert heat.mean() == pytest.approx(np.pi * setting["radius"] ** 2, rel=0.02)


def test_an_unknown_method_is_refused(network):
    with pytest.raises(UserError, match="expected one or more of"):
        build_maps("grad-cam-resampled", network, "single-6c")


def measured(label: int, index: int, *areas: float) -> Measured:
    """Constant curves: their area is their value."""
    return Measured(("tune", index), label, label, 0.1, [[area] * len(THRESHOLDS) for area in areas])


def test_means_over_the_classes_and_their_error_by_hand():
    of_one, of_other = [0.2, 0.4, 0.6], [0.7, 0.9]
    all_ = [measured(0, i, area) for i, area in enumerate(of_one)]
    all_ += [measured(1, 10 + i, area) for i, area in enumerate(of_other)]
    summary = class_mean(all_, 0)
    assert summary.n == 5
    assert summary.mean == pytest.approx((0.4 + 0.8) / 2)  # not the mean of all five
    # squared errors .2 ** 2 / 3 and .1414 ** 2 / 2
    assert summary.standard_error == pytest.approx(((0.04 / 3 + 0.02 / 2) ** 0.5) / 2)
    assert class_mean(all_[:1], 0).standard_error is None


def test_settings_are_chosen_on_one_part_and_reported_on_the_other():
    count = len(settings_of("grad-cam"))
    tuned = [measured(0, 0, *np.linspace(0.1, 0.3, count)), measured(1, 1, *np.linspace(0.1, 0.2, count))]
    assert choose("grad-cam", tuned) == count - 1
    reported = [measured(0, 2, *np.linspace(0.8, 0.2, count)), measured(1, 3, *np.linspace(0.8, 0.2, count))]
    (row,) = summarise({"grad-cam": tuned}, {"grad-cam": reported})
    assert row.as_published.mean == pytest.approx(0.8)
    assert row.chosen.mean == pytest.approx(0.2)
    assert row.setting == settings_of("grad-cam")[-1]
    assert row.curve == [0.2] * len(THRESHOLDS)


def test_measuring_yields_every_picture_with_all_methods(network):
    pictures = [("tune", 4), ("report", 4), ("report", 0)]
    found = list(measure("single-6c", network, ("grad-cam", "image"), pictures))
    assert [one["image"].picture for one in found] == pictures
    for one in found:
        assert area_under(one["image"].curves[0]) == pytest.approx(one["image"].covered, abs=1e-4)
        assert Measured.of(json.loads(json.dumps(one["grad-cam"].as_json()))) == one["grad-cam"]
    alone = next(iter(measure("single-6c", network, ("grad-cam",), pictures[1:2])))
    np.testing.assert_allclose(alone["grad-cam"].curves, found[1]["grad-cam"].curves, atol=2e-3)


def test_the_task_prints_and_writes_its_tables(tmp_path, monkeypatch, network):
    monkeypatch.setattr(flowers_task, "load_network", lambda kind: network)
    out = tmp_path / "flowers.json"
    arguments = [
        "flowers",
        "--kind",
        "single-6c",
        "--methods",
        "grad-cam",
        "--limit",
        "6",
        "--json",
        str(out),
    ]
    result = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert "Area under the IoU curve, single-6c" in result.output
    assert "6 flowers, means over the classes; settings chosen on 6 others" in result.output
    written = json.loads(out.read_text())
    assert set(written["settings"]) == {"grad-cam", "filter", "activation", "center", "image"}
    assert written["published"] == PUBLISHED["single-6c"]
    labels = [row["label"] for row in written["tables"][0]["rows"]]
    assert labels[0] == "grad-cam"


def test_what_cannot_be_measured_is_refused(tmp_path):
    few = FlowersTask("double-12c", "grad-cam", limit=6)
    with pytest.raises(UserError, match="--limit 6: each of the 12 classes needs a picture"):
        few.names()
    with pytest.raises(UserError, match=r"--model none\.keras: no such file"):
        FlowersTask("single-6c", "grad-cam", model="none.keras").cache_key()
    with pytest.raises(UserError, match="unknown kind of flowers 'roses'"):
        load_network("roses")


def test_a_network_for_other_flowers_is_refused(network, monkeypatch):
    monkeypatch.setattr(flowers_task, "load_classifier", lambda path: network)
    with pytest.raises(UserError, match="expected a network for double-12c"):
        FlowersTask("double-12c", "grad-cam", model="single.keras").subject()


def test_missing_weights_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("gazeback.eval.flowers.network._WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match="train one with gazeback train flowers"):
        load_network("single-6c")


@pytest.mark.parametrize("kind", KINDS)
def test_the_networks_that_come_along_are_right_on_new_flowers(kind):
    classifier = load_network(kind)
    drawn = list(flowers(kind, 77, range(24)))
    answer = classifier.probabilities(np.stack([each.image for each in drawn]))
    assert (answer.argmax(axis=1) == [each.label for each in drawn]).mean() > 0.9
