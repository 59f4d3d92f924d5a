"""Other packages beside ours: the same kind of maps, where they are installed."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.eval.speed import peers
from gazeback.models.errors import UserError


@pytest.mark.parametrize("name", peers.PEERS)
def test_maps_of_every_peer(name):
    rng = np.random.default_rng(0)
    x = image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = nets.randomise(keras.Model(image, layers.Dense(4, activation="softmax")(x)), rng)
    try:
        explain = peers.peer(name, model, 2)
    except UserError as error:
        pytest.skip(str(error))
    maps = explain(nets.images(rng, 2, model))
    assert maps.shape == (2, 16, 16)
    assert np.isfinite(maps).all()


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(
        peers.PEERS, "other:saliency", lambda model, target: peers._imported("other_package.maps")
    )
    with pytest.raises(UserError, match="the package other-package is not installed"):
        peers.peer("other:saliency", None, 0)
