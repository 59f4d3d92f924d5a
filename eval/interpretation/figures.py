"""The tables that `gazeback interpret` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.interpretation.features import RelevantFeatures
from gazeback.eval.metrics import Summary

STRONGEST = 3
CLASSES = 40


def relevant_table(relevant: RelevantFeatures) -> Table:
    """How many features each class has, and the strongest."""
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
    """Mean class accuracy without the selected filters and without random ones."""
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
    """How often captions still say each word without its features."""
    rows = [
        (row["word"], (row["photos"], Summary(**row["selected"]), Summary(**row["random"])))
        for row in summary["words"]
    ]
    count = summary["words"][0]["count"] if rows else 0
    notes = [f"share of the captions that still say it without {count} filters; ± standard error over photos"]
    columns = ("photos", "without the selected", "without random ones")
    return Table("Words without their relevant filters", columns, rows, notes, "word")


def word_curve_table(summary: Mapping[str, Any]) -> Table:
    """The same over all words, by the number of filters."""
    columns = ("without the selected", "without random ones", "difference", "gone / gone at random")
    rows: list[tuple[str, list[Cell]]] = []
    for row in summary["curve"]:
        cells: list[Cell] = [Summary(**row[name]) for name in ("selected", "random", "difference")]
        label = f"{row['variant']}: {row['count']}"
        rows.append((label, [*cells, "-" if row["ratio"] is None else f"{row['ratio']:.1f}"]))
    photos = sum(row["photos"] for row in summary["words"])
    notes = [
        f"{photos} captions that said one of {len(summary['words'])} words; ± standard error over photos"
    ]
    return Table("All words", columns, rows, notes, "filters removed")
