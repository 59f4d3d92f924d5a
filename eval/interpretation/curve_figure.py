"""The curves of what a network loses without its relevant features, as a picture (Figure 4 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gazeback.eval.interpretation.layers import ALL, ONLY_CONV
from gazeback.grounding.drawing import BAR, INK, SOFT, write_png

LINES = {
    (ALL, "selected"): ("relevant, all layers", BAR, "-"),
    (ONLY_CONV, "selected"): ("relevant, convolutions", "#2b6a8f", "-"),
    (ALL, "random"): ("random, same layers as all", BAR, ":"),
    (ONLY_CONV, "random"): ("random, same layers as convolutions", "#2b6a8f", ":"),
}


def write_curves(path: Path, title: str, rows: Sequence[Mapping[str, Any]], what: str = "accuracy") -> Path:
    """One panel for each protocol: the mean ± standard error over the number of filters per class."""
    protocols = list(dict.fromkeys(row["protocol"] for row in rows))
    figure = Figure(figsize=(4.6 * len(protocols), 3.8), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, size=12, family="serif", color=INK)
    for index, protocol in enumerate(protocols):
        axes = figure.add_subplot(1, len(protocols), index + 1)
        _draw(axes, [row for row in rows if row["protocol"] == protocol])
        axes.set_title(f"without {protocol}" if protocol.startswith("all") else protocol, size=10, color=INK)
        axes.set_xlabel("filters of each class", color=SOFT)
        axes.set_ylabel(what, color=SOFT)
    if figure.axes:
        figure.axes[0].legend(frameon=False, fontsize=8)
    return write_png(figure, path)


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for (variant, kind), (label, colour, style) in LINES.items():
        points = [(row["count"], row[kind]) for row in rows if row["variant"] == variant]
        if not points:
            continue
        axes.errorbar(
            [count for count, _ in points],
            [value["mean"] for _, value in points],
            [value["standard_error"] for _, value in points],
            label=label, color=colour, linestyle=style, marker="o", markersize=3, capsize=2, linewidth=1.4,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
