"""Excitation backpropagation: winning probabilities that pass down from one neuron.

Zhang, Bargal, Lin, Brandt, Shen, Sclaroff, *Top-Down Neural Attention by Excitation Backprop*, IJCV 2018
(ECCV 2016), section 3. The rules of the layers are in :mod:`gazeback.eval.baselines.excitation_rules`.
"""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.eval.baselines.backward import Kind, ask
from gazeback.eval.baselines.excitation_rules import losing, winning
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.errors import UserError

INPUT = "input"
SHARE_OF_SIDE = 8
"""The sides of the default map are at least this fraction of the image's. For GoogLeNet this gives a map of
28 x 28, as in the paper."""


@compared
def excitation_backprop(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Compute the marginal winning probability (MWP) of each location.

    Args:
        model, images, target, layer, output: as for :func:`gazeback.cnn_trace.trace`.
        at: the layer whose neurons' probabilities are shown, or ``"input"`` for the pixels; by default the
            last map whose sides are at least an eighth of the image's and that no branch bypasses.
        raw: the map at its own resolution, ``[n, h, w]``; it sums to 1 if every neuron on the way has an
            excitatory input.

    Returns:
        float32 ``[n, H, W]``: the sum over the channels, upsampled bilinearly.

    Raises:
        UserError: a layer on the way has no rule; UserError, TraceError: a target or an input that does not
            fit.
    """
    return _sized(_probabilities(query, _shown(query, at), winning).sum(axis=-1), query, raw)


@compared
def contrastive_excitation_backprop(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Compute contrastive MWP: the neuron's winning probabilities minus those of its dual, whose weights are
    negated.

    Negative values of the channel sum are set to 0. Arguments, result and errors as for
    :func:`excitation_backprop`.
    """
    shown = _shown(query, at)
    # Both use the same neurons.
    difference = _probabilities(query, shown, winning) - _probabilities(query, shown, losing)
    return _sized(np.maximum(difference.sum(axis=-1), 0), query, raw)


def _probabilities(query: Query, shown: Tensor, kind: Kind) -> np.ndarray:
    return ask(query, [shown], kind).gradients[0]


def _shown(query: Query, at: str | None) -> Tensor:
    if at == INPUT:
        return query.image
    if at is not None:
        return query.map_of(at)
    height, width = query.pixels.shape[1:3]
    for call in reversed(query.graph.ancestors([query.start])):
        tensor = call.outputs[0]
        rows, columns = query.shape(tensor)[1:3] if tensor.is_map else (0, 0)
        large = rows * SHARE_OF_SIDE >= height and columns * SHARE_OF_SIDE >= width
        if large and tensor is not query.start and _sees_all(query, tensor):
            return tensor
    raise UserError(
        f"no map with an eighth of the image's sides lies on every way to {query.start.name!r}; name one "
        "with at="
    )


def _sees_all(query: Query, tensor: Tensor) -> bool:
    """Whether every path from the image to the start leads through a tensor."""
    around = query.graph.ancestors([query.start], known=frozenset([tensor]))
    return not any(query.image in call.inputs for call in around)


def _sized(maps: np.ndarray, query: Query, raw: bool) -> np.ndarray:
    return maps if raw else upsampled(maps, *query.pixels.shape[1:3])
