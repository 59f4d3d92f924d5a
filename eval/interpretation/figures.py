"""The tables and curves of `gazeback interpret`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.interpretation.layers import ALL, ONLY_CONV
from gazeback.eval.interpretation.relevant import RelevantFeatures
from gazeback.eval.metrics.statistics import Summary
from gazeback.grounding.output.drawing import BAR, INK, SOFT
from gazeback.grounding.output.plots import write_plot

LINES = {
    (ALL, "selected"): ("relevant, all layers", BAR, "-"),
    (ONLY_CONV, "selected"): ("relevant, convolutions", "#2b6a8f", "-"),
    (ALL, "random"): ("random, same layers as all", BAR, ":"),
    (ONLY_CONV, "random"): ("random, same layers as convolutions", "#2b6a8f", ":"),
}


def write_curves(path: Path, title: str, rows: Sequence[Mapping[str, Any]], what: str = "accuracy") -> Path:
    """Draw one panel for each protocol: mean ± standard error against the number of filters per class."""
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
    return write_plot(figure, path)


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


STRONGEST = 3

CLASSES = 40


def relevant_table(relevant: RelevantFeatures) -> Table:
    """Table of the number of features of each class, and the strongest ones."""
    rows = []
    for name in relevant.classes[:CLASSES]:
        features = relevant.of(name)
        best = ", ".join(f"{one.layer} {one.filter} ({one.weight:.2f})" for one in features[:STRONGEST])
        rows.append((name, (len(features), best or None)))
    filters = sum(relevant.layers.values())
    notes = [
        f"of {filters} filters in {len(relevant.layers)} layers; mu {relevant.mu:g}, scale {relevant.scale}"
    ]
    if len(relevant.classes) > CLASSES:
        notes.append(f"the first {CLASSES} of {len(relevant.classes)} classes; all are in the file")
    columns = ("filters", "strongest: layer filter (weight)")
    return Table(f"Relevant filters, variant {relevant.variant}", columns, rows, notes, "class")


def ablation_table(summary: Mapping[str, Any]) -> Table:
    """Table of the mean class accuracy without the selected filters and without random ones."""
    whole = Summary(**summary["accuracy"])
    rows = [
        (
            f"{row['variant']}: {row['protocol']}",
            (
                row["count"],
                round(row["filters"]),
                Summary(**row["selected"]),
                Summary(**row["random"]),
                "-" if row["ratio"] is None else f"{row['ratio']:.1f}",
            ),
        )
        for row in summary["curve"]
    ]
    columns = ("of a class", "in all", "without the selected", "without random ones", "cost / random cost")
    draws = summary["curve"][0]["random"]["n"]
    notes = [
        f"mean class accuracy of {whole.n} photos, {whole} with all filters; ± standard error, of random "
        f"filters over {draws} draws"
    ]
    return Table("What is lost without the relevant filters", columns, rows, notes, "filters removed")


def words_table(summary: Mapping[str, Any]) -> Table:
    """Table of how often captions still contain each word without its features."""
    rows = [
        (row["word"], (row["photos"], Summary(**row["selected"]), Summary(**row["random"])))
        for row in summary["words"]
    ]
    count = summary["words"][0]["count"] if rows else 0
    notes = [
        f"fraction of the captions that still contain the word without {count} filters; ± standard error "
        "over photos"
    ]
    columns = ("photos", "without the selected", "without random ones")
    return Table("Words without their relevant filters", columns, rows, notes, "word")


def word_curve_table(summary: Mapping[str, Any]) -> Table:
    """Table of how often captions still contain a word, over all words, by the number of filters."""
    columns = ("without the selected", "without random ones", "difference", "gone / gone at random")
    rows: list[tuple[str, list[Cell]]] = []
    for row in summary["curve"]:
        cells: list[Cell] = [Summary(**row[name]) for name in ("selected", "random", "difference")]
        label = f"{row['variant']}: {row['count']}"
        rows.append((label, [*cells, "-" if row["ratio"] is None else f"{row['ratio']:.1f}"]))
    photos = sum(row["photos"] for row in summary["words"])
    notes = [
        f"{photos} captions that contained one of {len(summary['words'])} words; ± standard error over photos"
    ]
    return Table("All words", columns, rows, notes, "filters removed")
