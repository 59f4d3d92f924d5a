"""Maps of a layer's activations, which hardly depend on a class, or not at all."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.errors import UserError


def _last_layer(query: Query) -> str:
    call = query.map_of(None).call
    assert call is not None  # an input is not the map of a layer
    return call.name


@partial(compared, default_layer=_last_layer)
def activation_map(query: Query, raw: bool = False) -> np.ndarray:
    """Show the map of one filter, by default of the last map before the output.

    Args:
        target: the channel, or a neuron of it; None is each image's strongest channel.
        raw: the map at its own resolution, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, upsampled bilinearly.

    Raises:
        UserError, TraceError: a layer without a map, a target or an input that does not fit.
    """
    if not query.start.is_map:
        raise UserError(f"{query.start.name!r} has no map with height and width: there is no filter to show")
    answer = ask(query, [query.start])
    channel = answer.neurons[:, -1]
    maps = answer.values[0][np.arange(len(channel)), :, :, channel].astype(np.float32)
    return maps if raw else upsampled(maps, *query.pixels.shape[1:3])


@compared
def activation(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Sum the channels of the last map: a trivial baseline that does not depend on the target.

    Args:
        at: the layer whose map is used instead of the last one before the start.
        raw: the map at its own resolution, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, upsampled bilinearly.
    """
    total = ask(query, [query.map_of(at)]).values[0].sum(axis=-1, dtype=np.float32)
    return total if raw else upsampled(total, *query.pixels.shape[1:3])


@compared
def center(query: Query) -> np.ndarray:
    """Mark a point in the middle: a trivial baseline that does not depend on the image and the target.

    The map is uniform except for its maximum. The maximum is so small that the energy inside a box is the
    box's fraction of the area.

    Returns:
        float32 ``[n, H, W]``.
    """
    n, height, width = query.pixels.shape[:3]
    maps = np.ones((n, height, width), np.float32)
    maps[:, height // 2, width // 2] += 1e-3
    return maps


def feature_maps(model: keras.Model, image: Any, layer: str, *, limit: int = 64, columns: int = 8) -> Figure:
    """Draw a contact sheet of a layer's channels, each scaled to its own range.

    Args:
        model: the network; ``image``: one image, with or without the batch axis.
        layer: the layer; ``limit``: the largest number of channels, starting with the first; ``columns``: per
            row.

    Raises:
        UserError: the layer has no map, or there is more than one image.
    """
    query = Query.of(model, image, None, layer)
    if not query.start.is_map or len(query.pixels) != 1:
        raise UserError(
            f"a contact sheet shows the maps of one image; got {len(query.pixels)} images and {layer!r} of "
            f"shape {list(query.start.shape)}"
        )
    maps = np.moveaxis(ask(query, [query.start]).values[0][0], -1, 0)[:limit]
    columns = min(columns, len(maps))
    rows = math.ceil(len(maps) / columns)
    figure = Figure(figsize=(columns * 1.2, rows * 1.35), layout="constrained")
    for index, one in enumerate(maps):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(one, cmap="gray")
        axes.set_title(str(index), fontsize=7)
        axes.set_axis_off()
    return figure
