"""Filters set to zero: what remains is exact, the network is as before, and the costs are those by hand."""

import keras
import numpy as np
import pytest
from twins.interpreted_nets import channels_first, nested, sharing

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.interpretation import ablation
from gazeback.eval.interpretation.ablation import Hits, Removal, class_accuracy, removals, summarise
from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.layers import filter_layers
from gazeback.eval.interpretation.relevant import Feature, RelevantFeatures
from gazeback.eval.metrics.statistics import Summary


def relevant_of(network) -> RelevantFeatures:
    layers = {one.name: one.channels for one in network.forward.layers}
    features = {
        name: (Feature("colours", number, 2.0), Feature("mixed", number, 1.0))
        for number, name in enumerate(("red", "green", "blue"))
    }
    return RelevantFeatures(("red", "green", "blue"), layers, features, 10.0, "all")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 16, 16, 3)).astype(np.float32) * 255


def test_without_a_filter_the_network_is_one_whose_filter_is_zero(colours, network, images):
    removed = np.zeros((2, 4, 12), bool)
    removed[1, :, 1] = True
    found = network.forward.ablated(images, removed)
    weights = colours.model.get_weights()
    other = keras.models.clone_model(colours.model)
    weights[0] = np.array(weights[0])
    weights[0][..., 1] = 0
    other.set_weights(weights)
    assert keras.ops.softmax(found[0]).numpy() == pytest.approx(colours.probabilities(images), abs=1e-6)
    assert keras.ops.softmax(found[1]).numpy() == pytest.approx(other(images).numpy(), abs=1e-6)


def test_each_image_goes_without_its_own_filters(network, images):
    removed = np.zeros((1, 4, 12), bool)
    removed[0, 2, 6] = True
    found = network.forward.ablated(images, removed)[0]
    whole = network.forward.ablated(images, np.zeros_like(removed))[0]
    assert found[[0, 1, 3]] == pytest.approx(whole[[0, 1, 3]], abs=1e-5)
    assert found[2, 0] == pytest.approx(0, abs=1e-6)


def test_the_network_is_untouched(colours, network, images):
    before, weights = colours.probabilities(images), [np.array(w) for w in colours.model.get_weights()]
    network.forward.ablated(images, np.ones((3, 4, 12), bool))
    assert (colours.probabilities(images) == before).all()
    assert all((one == other).all() for one, other in zip(weights, colours.model.get_weights(), strict=True))


@pytest.mark.parametrize("model", [nested, sharing, lambda: channels_first()[0]])
def test_without_anything_it_is_the_network_and_without_everything_nothing_of_the_image_is_left(model):
    built = model()
    tracer = tracer_of(built)
    answer = tracer.target()
    forward = Forward(tracer.graph, answer, filter_layers(tracer.graph, answer))
    images = np.random.default_rng(0).random((2, *built.input.shape[1:])).astype(np.float32)
    removed = np.stack([np.full((2, forward.filters), value) for value in (False, True)])
    kept, gone = forward.ablated(images, removed)
    assert kept == pytest.approx(forward.responses(images)[1], abs=1e-5)
    assert gone[0] == pytest.approx(gone[1], abs=1e-6)


def test_any_first_layer_gives_the_same(network, images):
    """The layers before the first filter that is removed are run once; which that is changes nothing."""
    late = np.zeros((1, 4, 12), bool)
    late[..., 7] = True
    early = np.concatenate([late, late])
    early[1, :, 0] = True
    assert network.forward.ablated(images, early)[0] == pytest.approx(
        network.forward.ablated(images, late)[0], abs=1e-6
    )


def test_random_sets_have_as_many_filters_of_each_layer(network):
    for one in removals([relevant_of(network)], network.forward, (1, 2)):
        chosen = [s for s in removals([relevant_of(network)], network.forward, (1, 2)) if s.draw is None]
        match = next(s for s in chosen if s.curve == one.curve)
        for columns in network.forward.offsets.values():
            assert (one.masks[:, columns].sum(axis=1) == match.masks[:, columns].sum(axis=1)).all()


def test_together_all_photos_go_without_the_features_of_all_classes(network):
    sets = [s for s in removals([relevant_of(network)], network.forward, (1,)) if s.draw is None]
    together, own = sets
    assert np.flatnonzero(together.masks[0]).tolist() == [0, 1, 2]
    assert (together.masks == together.masks[0]).all()
    assert [np.flatnonzero(row).tolist() for row in own.masks] == [[0], [1], [2]]
    assert (together.filters, own.filters) == (3, 1)
    drawn = [s for s in removals([relevant_of(network)], network.forward, (1,)) if s.draw is not None]
    assert len(drawn) == 2 * ablation.DRAWS
    assert all((s.masks == s.masks[0]).all() for s in drawn if s.protocol == ablation.TOGETHER)


def test_draws_are_the_same_each_time(network):
    one, other = (removals([relevant_of(network)], network.forward, (2,)) for _ in range(2))
    assert all((a.masks == b.masks).all() for a, b in zip(one, other, strict=True))


def test_selected_filters_cost_more_than_three_times_what_random_ones_cost(network, photos):
    images = np.stack([network.read(path) for path in photos.paths])
    relevant = relevant_of(network)
    sets = removals([relevant], network.forward, (1,))
    order = [relevant.classes.index(name) for name in photos.classes]
    hits = list(ablation.measure(network.forward, [(images, photos.labels)], order, _turned(sets, order)))
    own = next(row for row in summarise(hits, sets)["curve"] if row["protocol"] == ablation.OWN)
    assert own["selected"]["mean"] == 0
    assert own["ratio"] > 3


def _turned(sets, order):
    """The same sets with the classes in another order."""
    return [Removal(s.variant, s.protocol, s.count, s.draw, s.masks[order]) for s in sets]


def test_class_accuracy_by_hand():
    right = np.array([True, True, False, True, False, False])
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = class_accuracy(right, labels)
    assert found.mean == pytest.approx((3 / 4 + 0) / 2)
    assert found.standard_error == pytest.approx(np.sqrt(0.75 * 0.25 / 3) / 2)


def test_costs_by_hand():
    masks = np.ones((1, 2), bool)
    sets = [Removal("all", "p", 1, draw, masks) for draw in (None, 0, 1)]
    hits = Hits(
        np.ones(4, bool),
        np.array([[False] * 3 + [True], [True] * 4, [True] * 2 + [False] * 2]),
        np.zeros(4, int),
    )
    found = summarise([hits], sets)["curve"][0]
    assert found["selected"]["mean"] == 0.25
    assert found["random"] == Summary(2, 2, 0.75, 0.25).as_json()
    assert found["ratio"] == pytest.approx(0.75 / 0.25)


def test_random_filters_that_cost_nothing_have_no_ratio():
    whole = Summary(4, 4, 1.0, 0.0)
    assert ablation.ratio(whole, Summary(4, 4, 0.5, 0.1), whole) is None
