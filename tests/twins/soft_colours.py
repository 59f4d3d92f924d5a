"""A classifier of colours that can be brought to doubt."""

from dataclasses import replace

import keras
import numpy as np


def soft(colours):
    """The classifier of the fixture `colours`, less sure, and sensitive to colours that are not there."""
    model = keras.models.clone_model(colours.model)
    kernel, _, dense, bias = colours.model.get_weights()
    model.set_weights([kernel, np.ones(3), dense / 20, bias])
    return replace(colours, model=model)
