"""What a layer's filters answer to an image: maps that hardly ask, or do not ask, for a class."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.enlarging import enlarged
from gazeback.eval.baselines.query import Query, compared
from gazeback.models.errors import UserError


def _last_layer(query: Query) -> str:
    call = query.map_of(None).call
    assert call is not None  # an input is no layer's map
    return call.name


@partial(compared, default_layer=_last_layer)
def activation_map(query: Query, raw: bool = False) -> np.ndarray:
    """The map of one filter: by default of the last map before the output.

    Args:
        target: the channel, or a neuron of it; None is each image's strongest.
        raw: the map at its own resolution, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, enlarged bilinearly.

    Raises:
        UserError, TraceError: a layer without a map, a target or an input that does not fit.
    """
    if not query.start.is_map:
        raise UserError(f"{query.start.name!r} has no map with height and width: there is no filter to show")
    answer = ask(query, [query.start])
    channel = answer.neurons[:, -1]
    maps = answer.values[0][np.arange(len(channel)), :, :, channel].astype(np.float32)
    return maps if raw else enlarged(maps, *query.pixels.shape[1:3])


@compared
def activation(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """The channel sum of the last map: what is conspicuous, whatever is asked (the target changes nothing).

    Args:
        at: another layer's map than the last one before the start.
        raw: the map at its own resolution, ``[n, h, w]``.

    Returns:
        float32 ``[n, H, W]``, enlarged bilinearly.
    """
    total = ask(query, [query.map_of(at)]).values[0].sum(axis=-1, dtype=np.float32)
    return total if raw else enlarged(total, *query.pixels.shape[1:3])


@compared
def center(query: Query) -> np.ndarray:
    """A point in the middle, whatever the image and the target: the trivial baseline.

    The map is uniform but for its maximum, which is too small to matter for the energy inside a box: that is
    the box's share of the area.

    Returns:
        float32 ``[n, H, W]``.
    """
    n, height, width = query.pixels.shape[:3]
    maps = np.ones((n, height, width), np.float32)
    maps[:, height // 2, width // 2] += 1e-3
    return maps


def feature_maps(model: keras.Model, image: Any, layer: str, *, limit: int = 64, columns: int = 8) -> Figure:
    """A contact sheet of a layer's channels, each scaled to its own range.

    Args:
        model: the network; ``image``: one image, with or without the batch axis.
        layer: whose maps; ``limit``: at most so many channels, from the first on; ``columns``: per row.

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
