"""Plot the locations where a walk passed the layers between an answer and the pixels.

Source: *CNN Fixations* (IEEE TIP 2018), Figure 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.fixations import Fixations, merged
from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.layout import shape_last
from gazeback.cnn_trace.recording import shapes_of
from gazeback.cnn_trace.tracer import tracer_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_HEIGHT = 2.6  # inches
MAX_COLUMNS = 5


def layer_fixations(model: keras.Model, fixations: Fixations, layer: str) -> Fixations:
    """Turn the evidence at a layer into points on the model's input.

    A neuron in row r of a map with h rows is at ``(r + 0.5) * H / h`` from the upper edge of an input with H
    rows. This is a uniform grid over the input; paddings are ignored. The channels of a location are one
    point, whose weight is the sum of their weights.

    Args:
        model: the model that was traced.
        fixations: the result of `trace`, in pixels of the model's input.
        layer: the name of a layer whose output is a map.

    Raises:
        TraceError: there is no such layer, its output is not a map, or the walk did not pass it.
    """
    graph = tracer_of(model).graph
    inputs = dict(zip(graph.input_names, graph.inputs, strict=True))
    tensor = inputs[layer] if layer in inputs else graph.call_of(layer).outputs[0]
    if len(tensor.shape) != len(graph.image_inputs[0].shape):
        raise TraceError(f"layer {layer!r} has no places: its output {list(tensor.shape)} is no map")
    evidence = fixations.at(layer)
    places = (evidence.coordinates[:, :-1] + 0.5) * np.divide(
        fixations.shape, _map_size(graph, tensor, fixations)
    )
    points, weights = merged(places.astype(np.int64), evidence.weights, fixations.shape)
    return Fixations(points, weights, fixations.shape)


def _map_size(graph: Graph, tensor: Tensor, fixations: Fixations) -> tuple[int, ...]:
    """The size of a map; if the model's size is not fixed, for an image of the fixations' size."""
    image = graph.image_inputs[0]
    channels = image.shape[1 if image.channels_first else -1]
    size = (channels, *fixations.shape) if image.channels_first else (*fixations.shape, channels)
    inputs: Any = tuple(size if t is image else t.shape[1:] for t in graph.inputs)
    return shape_last(tensor, shapes_of(graph, inputs, 1)[tensor])[1:-1]


def plot_layers(photo: Any, found: Mapping[str, Fixations]) -> Figure:
    """Draw a Matplotlib figure with a panel per layer: its points on the photo, larger for larger weights.

    Args:
        photo: ``[height, width, 3]`` (or grey ``[height, width]``), uint8, or float from 0 to 1.
        found: for each layer name its fixations (see :func:`layer_fixations`), in pixels of the photo.
    """
    from matplotlib.figure import Figure

    if not found:
        raise TraceError("name at least one layer to plot")
    height, width = np.shape(photo)[:2]
    columns = min(len(found), MAX_COLUMNS)
    rows = -(-len(found) // columns)
    across = PANEL_HEIGHT * min(max(width / height, 0.4), 3)
    figure = Figure(figsize=(columns * across, rows * (PANEL_HEIGHT + 0.3)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (layer, fixations) in zip(panels, found.items(), strict=False):
        panel.imshow(photo, cmap="gray", extent=(0, width, height, 0), alpha=0.75)
        share = fixations.weights / max(fixations.weights.max(initial=0), 1e-12)
        at = fixations.points + 0.5
        panel.scatter(at[:, 1], at[:, 0], s=3 + 22 * share, c="red", edgecolors="black", linewidths=0.3)
        panel.set(xlim=(0, width), ylim=(height, 0))
        panel.set_title(f"{layer}: {len(fixations)}", size=9, parse_math=False)
    return figure
