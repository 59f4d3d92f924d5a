"""A captioner of scenes that has learned nothing."""

import keras
import numpy as np
import pytest

from gazeback.models import scene_networks
from gazeback.models.captioner import Captioner


def untrained(head: str) -> Captioner:
    keras.utils.set_random_seed(5)
    model = scene_networks.build(head)
    channels = model.get_layer(scene_networks.LAST_MAP).output.shape[-1]
    mean = np.linspace(0.1, 0.5, channels, dtype=np.float32)
    return Captioner(model, scene_networks.vocabulary(), mean, scene_networks.LAST_MAP, f"untrained-{head}")


@pytest.fixture(scope="session", params=scene_networks.HEADS)
def captioner(request: pytest.FixtureRequest) -> Captioner:
    return untrained(request.param)
