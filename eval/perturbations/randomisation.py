"""Randomise a network's weights, for sanity checks of maps.

Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018, section 3: the weights are randomised layer
by layer from the output down. A map that explains the network must lose its similarity to the map of the
trained network.

Difference from the paper: a layer's weights are shuffled instead of drawn again. So they keep their
distribution, and the signal neither vanishes nor explodes in the random layers.
"""

from collections.abc import Sequence

import keras
import numpy as np

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.metrics.statistics import correlation, spearman
from gazeback.models.errors import UserError

STAGES = {"last layer": 0.0, "1/4": 0.25, "1/2": 0.5, "3/4": 0.75, "all": 1.0}
"""The fractions of the layers with weights that are shuffled, from the output down; at least the last one."""


def weighted_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers that have weights, each once, from the output down."""
    layers = {
        id(call.operation): call.operation
        for call in reversed(tracer_of(model).graph.calls)
        if isinstance(call.operation, keras.Layer) and call.operation.weights
    }
    return list(layers.values())


def copied(model: keras.Model) -> keras.Model:
    """Copy a model with its weights. Raises UserError for a model that cannot be copied."""
    try:
        copy = keras.models.clone_model(model)
    except (TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{model.name}: only a functional or sequential model can be randomised ({reason})"
        ) from None
    copy.set_weights(model.get_weights())
    return copy


def randomise(copy: keras.Model, trained: keras.Model, share: float) -> None:
    """Set a copy to the trained model's weights, and shuffle a fraction of the layers, from the output down.

    Every call shuffles the same layers in the same way.
    """
    copy.set_weights(trained.get_weights())
    layers = weighted_layers(copy)
    for place, layer in enumerate(layers[: max(1, round(share * len(layers)))]):
        layer.set_weights(shuffled(layer.get_weights(), np.random.default_rng(place)))


def shuffled(arrays: Sequence[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
    """Shuffle the arrays of a layer.

    If all have one value for each channel (batch normalisation), channels are permuted as a whole, because
    dividing by another channel's deviation could explode.
    """
    if len({array.shape for array in arrays}) == 1 and arrays[0].ndim == 1:
        places = random.permutation(len(arrays[0]))
        return [array[places] for array in arrays]
    return [random.permutation(array.ravel()).reshape(array.shape) for array in arrays]


def similarity(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Compute the rank (Spearman's) and plain (Pearson's) correlation of two maps; 0 if one is uniform."""
    return {
        "rank": spearman(one.ravel(), other.ravel()),
        "plain": correlation(one, other).get("correlation", 0.0),
    }
