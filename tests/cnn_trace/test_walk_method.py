"""Reference, net per location, hand-off, and the weighted walk of ``method="walk"``."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.fixations import Twin

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.methods.evidence import net_per_location, strongest

pytestmark = pytest.mark.usefixtures("eager")


def literal_net(relevance):
    """``max(0, sum_c R[y, x, c])``, shared among the positive channels in proportion; one map."""
    height, width, channels = relevance.shape
    share, net = np.zeros(relevance.shape), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            total = sum(float(relevance[y, x, c]) for c in range(channels))
            net[y, x] = max(0.0, total)
            positive = sum(max(0.0, float(relevance[y, x, c])) for c in range(channels))
            for c in range(channels):
                if relevance[y, x, c] > 0:
                    share[y, x, c] = net[y, x] * float(relevance[y, x, c]) / positive
    return share, net


def literal_strongest(share, p):
    """The neurons that carry the top share p of the mass: ``{(y, x, c): weight}``, weights summing to 1."""
    order = sorted(np.ndindex(share.shape), key=lambda place: -share[place])
    kept, carried = {}, 0.0
    for place in order:
        if share[place] <= 0 or carried >= p * share.sum() * (1 - 1e-9):
            break
        kept[place] = share[place]
        carried += share[place]
    total = sum(kept.values())
    return {place: weight / total for place, weight in kept.items()}


def test_net_per_location_equals_the_twin(rng):
    relevance = rng.normal(size=(3, 4, 5, 6)).astype("float32")
    relevance[0, 0, 0] = 0
    relevance[0, 1, 1] = -1
    share, net = net_per_location(relevance)
    for q in range(3):
        expected, total = literal_net(relevance[q])
        np.testing.assert_allclose(share[q], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(net[q], total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(share.sum(axis=-1), net, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.6, 0.999, 1.0])
def test_strongest_carry_the_share_and_no_more(p, rng):
    mass = np.maximum(rng.normal(size=60), 0)
    found = strongest(mass, p)
    assert mass[found].sum() >= p * mass.sum() * (1 - 1e-6)
    assert mass[found[:-1]].sum() < p * mass.sum()
    assert mass[found].min() >= np.delete(mass, found).max(initial=0)
    assert len(strongest(np.zeros(5), p)) == 0


def test_strongest_by_hand():
    assert strongest(np.array([0.0, 1.0, 6.0, 3.0]), 0.6).tolist() == [2]
    assert strongest(np.array([0.0, 1.0, 6.0, 3.0]), 0.61).tolist() == [2, 3]
    assert strongest(np.array([0.0, 1.0, 6.0, 3.0]), 1.0).tolist() == [2, 3, 1]
    assert strongest(np.array([2.0, 2.0, 1.0, 2.0, 5.0]), 0.7).tolist() == [4, 0, 1]


def classifier(rng):
    image = keras.Input((12, 10, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.BatchNormalization()(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Add(name="last")([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return nets.randomise(keras.Model(image, layers.Dense(3, activation="softmax")(x)), rng)


def cam(model, images, target):
    """``w_c * A[y, x, c] / (h * w)``: class activation mapping before the channels are added up."""
    maps = np.asarray(keras.Model(model.input, model.get_layer("last").output)(images))
    weights = np.asarray(model.layers[-1].kernel)[:, target]
    return weights / (maps.shape[1] * maps.shape[2]), maps


@pytest.mark.parametrize("reference", [None, "vector", "map"])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_a_linear_classifier_gives_what_cam_gives(share, reference, rng):
    model = classifier(rng)
    images = nets.images(rng, 2, model)
    for target in (0, 2):
        coefficients, maps = cam(model, images, target)
        mean = {"vector": maps.mean(axis=(0, 1, 2)), "map": maps.mean(axis=0), None: None}[reference]
        traced = trace(model, images, target, method="walk", share=share, reference=mean)
        for i, fixations in enumerate(traced):
            relevance = coefficients * (maps[i] - (0 if mean is None else mean))
            shares, net = literal_net(relevance)
            expected = literal_strongest(shares, share)
            np.testing.assert_allclose(fixations.net, net, rtol=1e-3, atol=1e-5)
            handed = fixations.at("last")
            found = dict(zip(map(tuple, handed.coordinates.tolist()), handed.weights, strict=True))
            assert found.keys() == expected.keys()
            for place, weight in expected.items():
                assert found[place] == pytest.approx(weight, rel=1e-3)


@pytest.mark.parametrize("options", [{"location": "same"}, {"location": "argmax"}])
@pytest.mark.parametrize("build", [classifier, nets.inception, nets.negative_scales, nets.residual])
def test_the_weighted_walk_equals_the_twin(build, options, rng):
    """Below the hand-off evidence walks as fixations do, and weights that meet add up."""
    model = nets.randomise(build(rng), rng)
    images = nets.images(rng, 1, model)
    if model.layers[-1].activation.__name__ == "softmax":
        handoff = model.get_layer("last")
    else:
        handoff = [x for x in model.layers if len(x.output.shape) == 4][-1]
    fixations = trace(model, images, 1, method="walk", handoff=handoff.name, **options)[0]
    handed = fixations.at(handoff.name)
    assert len(handed)
    twin = Twin(model, images[0], once=False, **options)
    start = {
        (tuple(c), 1): w for c, w in zip(handed.coordinates.tolist(), handed.weights.tolist(), strict=True)
    }
    found = twin.walk({handoff.output: start})
    expected = twin.points(found)
    assert set(map(tuple, fixations.points.tolist())) == set(expected)
    for point, weight in zip(fixations.points.tolist(), fixations.weights, strict=True):
        assert weight == pytest.approx(expected[tuple(point)], rel=1e-4)
    assert fixations.weights.sum() == pytest.approx(1)


def test_weights_sum_to_one_and_only_follow_the_question(rng):
    model = classifier(rng)
    images = nets.images(rng, 2, model)
    several = trace(model, images, [0, 1, 2], neurons="all")
    for i in range(2):
        for target in range(3):
            alone = trace(model, images[i], target, neurons="all")[0]
            assert several[i][target].weights.sum() == pytest.approx(1)
            np.testing.assert_array_equal(several[i][target].points, alone.points)
            # Weights are rounded to 5 digits of the largest.
            most = alone.weights.max()
            np.testing.assert_allclose(several[i][target].weights, alone.weights, rtol=1e-5, atol=1e-5 * most)


def test_nothing_speaks_for_the_class(rng):
    model = classifier(rng)
    model.layers[-1].kernel.assign(-np.abs(model.layers[-1].kernel))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(np.abs(layer.gamma))
            layer.beta.assign(np.full(4, 5.0))
    fixations = trace(model, nets.images(rng, 1, model), 0)[0]
    assert len(fixations) == 0
    assert not fixations.heatmap().any()
    assert fixations.box() is None


def test_a_neuron_of_a_map_walks_with_weight_one(rng):
    model = nets.randomise(nets.inception(rng), rng)
    images = nets.images(rng, 1, model)
    layer = next(x.name for x in model.layers if isinstance(x, layers.Concatenate))
    for method in ("walk", "fixations"):
        assert trace(model, images, (2, 3, 4), layer=layer, method=method)[0].weights.tolist() == [1]


def test_an_output_that_is_a_recurrent_layer_with_a_sigmoid_is_not_taken_for_an_activation(rng):
    image = keras.Input((4, 4, 3))
    x = layers.Reshape((4, 12))(layers.Conv2D(3, 1)(image))
    model = nets.randomise(keras.Model(image, layers.LSTM(5, activation="sigmoid")(x)), rng)
    assert len(trace(model, nets.images(rng, 1, model), 4)[0]) > 0
