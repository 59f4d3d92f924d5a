"""The tables of `gazeback evaluate speed`."""

from collections.abc import Mapping, Sequence
from typing import Any

from gazeback.eval.harness.table import Table


def speed_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Ratios, then the times that they come from."""
    quartiles = ("median", "quartile_1", "quartile_3")
    return [
        Table(
            name.capitalize(),
            ["median", "quartile 1", "quartile 3", "n"],
            [
                (label, [*(f"{row[key]:.2f}" for key in quartiles), row["n"]])
                for label, row in summary[name].items()
            ],
        )
        for name in ("ratios", "milliseconds")
    ]


def network_table(rows: Sequence[Mapping[str, Any]], methods: Sequence[str], memory: bool) -> Table:
    """One row for each network and batch size; each method's ratio and, for times, its quartiles."""
    if memory:
        title, base = "Peak memory / forward pass with all activations kept", "activations, MiB"
    else:
        title, base = "Time / compiled forward pass", "forward, ms"
    lines = [
        (
            row["network"],
            [row["batch"], _base(row, memory), *(_ratio(row["ratios"].get(method)) for method in methods)],
        )
        for row in rows
    ]
    notes = [] if memory else ["median (quartiles) of the rounds' paired ratios; random weights"]
    return Table(title, ["batch", base, *methods], lines, notes, "network")


def _base(row: Mapping[str, Any], memory: bool) -> str:
    if memory:
        return f"{row['mebibytes']['activations']:.0f}"
    return f"{row['milliseconds']['forward']['median']:.1f}"


def _ratio(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value['median']:.2f} ({value['quartile_1']:.2f}-{value['quartile_3']:.2f})"
