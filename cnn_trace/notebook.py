"""Show fixations in a notebook, where the photo is not known: their heat map and their points."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_HEIGHT = 2.6  # inches


def figure_html(figure: Figure, text: str) -> str:
    """Build HTML of a Matplotlib figure and a line of text below it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    picture = base64.b64encode(stream.getvalue()).decode()
    line = html.escape(text)
    image = f'<img src="data:image/png;base64,{picture}" alt="{line}">'
    return f"<figure>{image}<figcaption>{line}</figcaption></figure>"


def draw_heat(heat: np.ndarray, points: np.ndarray) -> Figure:
    """Draw a heat map, float ``[height, width]``, and points ``[n, 2]`` (row, column) on it."""
    from matplotlib.figure import Figure

    height, width = heat.shape
    across = PANEL_HEIGHT * min(max(width / height, 0.4), 3)
    figure = Figure(figsize=(across, PANEL_HEIGHT), layout="constrained")
    panel = figure.subplots()
    panel.set_axis_off()
    panel.imshow(heat, cmap="inferno", extent=(0, width, height, 0))
    at = points + 0.5
    panel.scatter(at[:, 1], at[:, 0], s=4, c="white", edgecolors="black", linewidths=0.3)
    return figure
