import keras
import numpy as np
import pytest
from twins import nets

from gazeback.eval.baselines.activations import activation, activation_map, feature_maps
from gazeback.models.errors import UserError


@pytest.fixture
def asked(rng):
    model = nets.randomise(nets.plain(rng), rng)
    images = nets.images(rng, 3, model)
    name = model.layers[-3].name
    last = np.asarray(keras.Function(model.inputs, model.get_layer(name).output)([images]))
    return model, images, name, last


def test_the_map_of_a_filter(asked):
    model, images, name, last = asked
    np.testing.assert_allclose(activation_map(model, images, 2, raw=True), last[..., 2], rtol=1e-5)
    named = activation_map(model, images, 2, layer=name)
    np.testing.assert_allclose(activation_map(model, images, 2), named, rtol=1e-5)
    assert named.shape == images.shape[:3]
    strongest = last.max(axis=(1, 2)).argmax(axis=1)
    expected = last[np.arange(3), :, :, strongest]
    np.testing.assert_allclose(activation_map(model, images, raw=True), expected, rtol=1e-5)


def test_the_sum_of_all_filters(asked):
    model, images, _, last = asked
    np.testing.assert_allclose(activation(model, images, raw=True), last.sum(axis=-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(activation(model, images, 0), activation(model, images, 2))
    earlier = activation(model, images, at=model.layers[1].name, raw=True)
    assert earlier.shape[0] == 3


def test_a_contact_sheet_shows_each_filter(asked):
    model, images, name, last = asked
    figure = feature_maps(model, images[0], name, columns=3)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_allclose(np.stack(shown, axis=-1), last[0], rtol=1e-4, atol=1e-6)
    assert len(feature_maps(model, images[:1], name, limit=2).axes) == 2


def test_what_has_no_map_is_refused(asked):
    model, images, _, _ = asked
    with pytest.raises(UserError, match="has no map with height and width"):
        activation_map(model, images, layer=model.layers[-1].name)
    with pytest.raises(UserError, match="shows the maps of one image; got 3 images"):
        feature_maps(model, images, model.layers[1].name)
