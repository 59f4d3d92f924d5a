"""Shuffled networks, other classes, and the captioner's identities."""

import json

import keras
import numpy as np
import pytest

from gazeback.eval.perturbations.randomisation import (
    STAGES,
    copied,
    randomise,
    shuffled,
    similarity,
    weighted_layers,
)
from gazeback.eval.tasks.sanity import SWAPPED, SanityTask, cut_off, identities, sum_errors
from gazeback.models.captioner import Caption
from gazeback.models.errors import UserError


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(image)
    x = keras.layers.BatchNormalization(name="scale")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(5, 3, activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(x))


@pytest.fixture
def photo():
    return np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)


@pytest.fixture
def task(squares_folder, colours, captioner, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: colours)
    monkeypatch.setattr("gazeback.eval.tasks.sanity.load_captioner", lambda: captioner)
    caption = Caption(("a", "red"), (3, 4), (-1.0, -1.0), -2.0, -2.0)
    monkeypatch.setattr(captioner, "generate", lambda images: [caption])
    return SanityTask(squares_folder, "colours", None, "all", 3, "evidence")


def randomised(model, share):
    copy = copied(model)
    randomise(copy, model, share)
    return copy


def changed(one, other):
    """The names of the layers whose weights are others."""
    return {
        layer.name
        for layer in one.layers
        if layer.weights
        and any(
            (a != b).any()
            for a, b in zip(layer.get_weights(), other.get_layer(layer.name).get_weights(), strict=True)
        )
    }


def test_layers_come_from_the_output_down(model):
    assert [layer.name for layer in weighted_layers(model)] == ["classes", "second", "scale", "first"]


def test_more_and_more_layers_are_shuffled_and_the_model_stays(model):
    model.get_layer("scale").set_weights([np.arange(4.0) + k for k in range(4)])
    before = [array.copy() for array in model.get_weights()]
    found = {stage: changed(randomised(model, share), model) for stage, share in STAGES.items()}
    assert found == {
        "last layer": {"classes"},
        "1/4": {"classes"},
        "1/2": {"classes", "second"},
        "3/4": {"classes", "second", "scale"},
        "all": {"classes", "second", "scale", "first"},
    }
    for array, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, same)


def test_a_later_stage_goes_on_from_the_earlier_one(model):
    half, whole = randomised(model, 0.5), randomised(model, 1)
    for name in ("classes", "second"):
        for one, other in zip(
            half.get_layer(name).get_weights(), whole.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert changed(whole, randomised(model, 1)) == set()
    randomise(whole, model, 0.5)
    assert changed(whole, half) == set()


def test_a_shuffled_array_keeps_its_values_and_a_channel_its_statistics():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 2, 8)), rng.normal(size=8)
    found = shuffled([kernel, bias], np.random.default_rng(1))
    for old, new in zip((kernel, bias), found, strict=True):
        assert new.shape == old.shape
        assert (new != old).any()
        np.testing.assert_array_equal(np.sort(new, axis=None), np.sort(old, axis=None))
    channels = [rng.normal(size=8) for _ in range(4)]
    found = shuffled(channels, np.random.default_rng(1))
    assert sorted(zip(*found, strict=True)) == sorted(zip(*channels, strict=True))
    assert (found[0] != channels[0]).any()


def test_a_model_that_cannot_be_copied():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    own = Own()
    own(np.zeros((1, 3)))
    with pytest.raises(UserError, match="only a functional or sequential model"):
        copied(own)


def test_likeness_by_hand():
    one = np.array([[1.0, 2], [3, 4]])
    assert similarity(one, 5 * one) == pytest.approx({"rank": 1, "plain": 1})
    assert similarity(one, one**3)["rank"] == pytest.approx(1)
    assert similarity(one, one[::-1])["rank"] == pytest.approx(-0.6)
    assert similarity(one, np.ones((2, 2))) == {"rank": 0, "plain": 0}
    expected = similarity(one, one[::-1])
    assert similarity(one[:, ::-1], one[::-1, ::-1]) == pytest.approx(expected)


def test_a_word_is_the_sum_of_its_parts(captioner, photo):
    errors = sum_errors(captioner, photo, [3, 4, 5, 6])
    assert errors.shape == (4,)
    assert np.abs(errors).max() < 1e-5


def test_a_captioner_cut_off_sees_the_mean_picture(captioner, photo):
    cut = cut_off(captioner)
    features = cut.features(photo[None])
    np.testing.assert_allclose(features, np.broadcast_to(captioner.mean_features, features.shape), rtol=1e-6)
    words = np.array([[0, 3, 4, 5]])
    np.testing.assert_allclose(
        cut.log_probabilities(features, words),
        captioner.log_probabilities(captioner.mean_features[None], words),
        atol=1e-5,
    )


def test_without_the_picture_no_word_is_visual(captioner, photo):
    found = identities(captioner, cut_off(captioner), photo, [3, 4, 5])
    assert found["cut off"] < 1e-5
    assert found["visual share"] > 1e-3
    assert found["sum error"] < 1e-5


def test_coloured_squares(task):
    names = list(task.names())
    found = task.measure(task.subject(), names, task.methods)
    for records in found.values():
        assert set(records["evidence"]) == {*STAGES, SWAPPED, "identities"}
        assert set(records["center"]) == {*STAGES, SWAPPED}
        for column in (*STAGES, SWAPPED):
            assert records["center"][column] == pytest.approx({"rank": 1, "plain": 1})
        assert records["evidence"][SWAPPED]["plain"] < 0.5
        assert records["evidence"]["all"]["plain"] < 0.999
    by_method = {method: {name: found[name][method] for name in names} for method in task.methods}
    assert json.loads(json.dumps(by_method)) == by_method
    rank, plain, exact = task.tables(by_method)
    assert list(rank.columns) == [*STAGES, SWAPPED]
    assert plain.rows[1][0] == "center"
    assert float(exact.rows[1][1][0]) < 1e-5
    assert task.score(by_method["center"][names[0]]) == pytest.approx(0)


def test_without_evidence_there_are_no_identities(task):
    names = list(task.names())
    found = task.measure(task.subject(), names, ["center"])
    assert len(task.tables({"center": {name: found[name]["center"] for name in names}})) == 2
