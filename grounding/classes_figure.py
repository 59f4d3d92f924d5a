"""The figure of a traced photo: prediction, fixations and heat map, as in Figure 1 of Mopuri et al. 2018."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gazeback.grounding.classes_text import facts, short, value_text
from gazeback.grounding.drawing import (
    INK,
    draw_bar,
    draw_shapes,
    panel_pixels,
    photo_axes,
    titled_figure,
    write,
    write_png,
)
from gazeback.grounding.evidence_map import heat_colours, strongest_first
from gazeback.grounding.looks import PAPER, PHOTO, Look, blended, look_of, paler
from gazeback.grounding.panels import arrange

if TYPE_CHECKING:
    from gazeback.cnn_trace import Fixations
    from gazeback.grounding.classes import TracedPhoto

CROWD = 400  # points, above which each is drawn smaller
FAINTEST = 70  # of 255: the colour of a point that weighs next to nothing, as on the page


def write_traced_figure(traced: TracedPhoto, path: str | os.PathLike[str]) -> Path:
    """Write `draw_traced` to ``path`` as PNG; returns the path. Raises `OSError`."""
    return write_png(draw_traced(traced), path)


def draw_traced(traced: TracedPhoto, target: int = 0, method: int = 0) -> Figure:
    """Photo with the answer, points, and heat map, for one target and one method.

    A method without points has two panels. A drawing's strokes stay visible through its heat map.
    """
    photo, asked = traced.photo, traced.targets[target]
    explanation = asked.explanations[method]
    look = look_of(photo)
    panels = arrange(2 if explanation.fixations is None else 3, photo.width / photo.height)
    figure = titled_figure(f"{photo.name}: {asked.name}", panels)
    pixels = panel_pixels(photo, panels)
    dim = paler(pixels) if look is PHOTO else pixels
    shape = (photo.height, photo.width)
    shown = [pixels, dim, blended(pixels, explanation.heat(max(pixels.shape[:2])), look)]
    if explanation.fixations is None:
        del shown[1]
    axes = [photo_axes(figure, panels, index) for index in range(len(shown))]
    for axis, picture in zip(axes, shown, strict=True):
        axis.imshow(np.asarray(picture).round().astype(np.uint8), extent=(0, photo.width, photo.height, 0))
    if explanation.fixations is not None:
        draw_points(axes[1], explanation.fixations, look)
        write(figure, panels, 1, "fixations", INK, explanation.method, facts(explanation, shape))
    draw_shapes(axes[-1], explanation.box(shape), (), INK if look is PAPER else "white")
    last = len(shown) - 1
    write(figure, panels, last, "heat map", INK, explanation.method, "dashed: the box of the evidence")
    write(figure, panels, 0, short(asked.name), INK, value_text(asked), f"answer of {traced.model_name}")
    if asked.layer is None:
        draw_bar(figure, panels, 0, asked.value)
    for axis in axes:
        axis.set(xlim=(0, photo.width), ylim=(photo.height, 0))
    return figure


def draw_points(axis: Axes, fixations: Fixations, look: Look) -> None:
    """The points in the look's colours, stronger and larger where they weigh more, the strongest on top."""
    order = strongest_first(fixations)[::-1]
    weights = fixations.weights[order] / max(float(fixations.weights.max(initial=0)), 1e-12)
    colours = heat_colours(look.stops)[np.rint(FAINTEST + (255 - FAINTEST) * weights).astype(int), :3] / 255
    points = fixations.points[order] + 0.5
    size = min(1.0, CROWD / max(len(points), 1))
    axis.scatter(
        points[:, 1], points[:, 0], s=size * (6 + 26 * weights), c=colours, edgecolors="#141014",
        linewidths=0.4 * size, alpha=0.9,
    )  # fmt: skip
