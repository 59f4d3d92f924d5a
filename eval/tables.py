"""The tables that the tasks of `gazeback evaluate` print."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from rich.console import Console
from rich.table import Table

from gazeback.eval.metrics import Summary
from gazeback.eval.phrases import LARGEST, METRICS, SIZES

WIDTH = 400


def show_phrases(summary: Any, paired: Any, first: str, skipped: Counter[str]) -> None:
    """All phrases, the first method against the others, and pointing and energy by entity type and size."""
    left_out = _left_out(skipped)
    if not summary:
        _console().print("Phrases: none could be measured", *left_out, sep="\n", highlight=False)
        return
    everything = summary[first]["all"]
    n, photos = everything["pointing"]["n"], everything["pointing"]["groups"]
    swapped = everything.get("swap_pointing", {"n": 0})["n"]
    notes = [f"{n} phrases of {photos} photos, {swapped} of them swapped; ± standard error over photos"]
    columns = ("", *(metric.replace("_", " ") for metric in METRICS))
    rows = [(method, *(_figure(row["all"].get(m)) for m in METRICS)) for method, row in summary.items()]
    _show("Phrases", columns, rows, notes + left_out)
    if paired:
        rows = [(f"- {other}", *(_figure(row.get(m)) for m in METRICS)) for other, row in paired.items()]
        _show(f"Phrase by phrase: {first}", columns, rows)
    for metric, (group, kinds) in product(METRICS[:2], _groups(summary).items()):
        columns = (group.replace("by_", ""), "n", *summary)
        _show(
            f"{metric.capitalize()} {group.replace('_', ' ')}", columns, _rows(summary, metric, group, kinds)
        )


def _groups(summary: Any) -> dict[str, list[str]]:
    """The kinds of phrases by which scores are told apart, in the order in which they are shown."""
    first = next(iter(summary.values()))
    sizes = [name for _, name in SIZES] + [LARGEST]
    return {
        "by_type": sorted(first["by_type"]),
        "by_size": [size for size in sizes if size in first["by_size"]],
    }


def _rows(summary: Any, metric: str, group: str, kinds: Sequence[str]) -> list[tuple[str, ...]]:
    first = next(iter(summary.values()))[group]
    return [
        (
            kind,
            str(first[kind][metric]["n"]),
            *(_figure(row[group][kind][metric]) for row in summary.values()),
        )
        for kind in kinds
    ]


def show_words(summary: Mapping[str, Any], photos: int, skipped: Counter[str]) -> None:
    """Visual share and nats by kind of word."""
    rows = [
        (kind, str(row["visual"]["n"]), _figure(row["visual_share"]), _figure(row["visual"]))
        for kind, row in summary.items()
    ]
    notes = [f"{photos} photos; ± standard error over photos", *_left_out(skipped)]
    _show("How visual is a word", ("words", "n", "visual share", "visual, nats"), rows, notes)


def show_preceding(summary: Mapping[str, Any], paired: Mapping[str, Any], skipped: Counter[str]) -> None:
    """Rank correlations with removal by measure, and the measures against each other."""
    rows = [(name, _figure(row["per_word"]), _figure(row["pooled"])) for name, row in summary.items()]
    n, pairs = (next(iter(summary.values()))[kind]["n"] for kind in ("per_word", "pooled"))
    photos = next(iter(summary.values()))["per_word"]["groups"]
    notes = [f"{n} words, {pairs} pairs of words, {photos} photos; ± standard error over photos"]
    title = "Leaving out a word before: rank correlations"
    _show(title, ("", "word by word", "all pairs"), rows, [*notes, *_left_out(skipped)])
    _show("Word by word", ("", "difference"), [(name, _figure(row)) for name, row in paired.items()])


def show_speed(summary: Mapping[str, Any]) -> None:
    """Ratios, then the times that they come from."""
    for name in ("ratios", "milliseconds"):
        rows = [
            (label, *(f"{row[key]:.2f}" for key in ("median", "quartile_1", "quartile_3")))
            for label, row in summary[name].items()
        ]
        _show(name.capitalize(), ("", "median", "quartile 1", "quartile 3"), rows)


def show_networks(rows: Sequence[Mapping[str, Any]], methods: Sequence[str], memory: bool) -> None:
    """One row for each network and batch size; each method's ratio and, for times, its quartiles."""
    kind = (
        "Peak memory / forward pass with all activations kept" if memory else "Time / compiled forward pass"
    )
    base = "activations, MiB" if memory else "forward, ms"
    printed = [
        (
            row["network"],
            str(row["batch"]),
            f"{row['mebibytes']['activations']:.0f}"
            if memory
            else f"{row['milliseconds']['forward']['median']:.1f}",
            *(_ratio(row["ratios"].get(method)) for method in methods),
        )
        for row in rows
    ]
    notes = [] if memory else ["median (quartiles) of the rounds' paired ratios; random weights"]
    _show(kind, ("network", "batch", base, *methods), printed, notes)


def _ratio(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value['median']:.2f} ({value['quartile_1']:.2f}-{value['quartile_3']:.2f})"


def show_captions(summary: Mapping[str, float | int], photos: int) -> None:
    """One score a row."""
    rows = [
        (name, f"{value:.3f}" if isinstance(value, float) else str(value)) for name, value in summary.items()
    ]
    _show(f"Captions of {photos} photos", ("", "score"), rows)


def _show(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()
) -> None:
    """Print a table with notes under it; the first column is text, the others are figures."""
    printed = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        printed.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        printed.add_row(*row)
    console = _console()
    console.print(printed)
    for note in notes:
        console.print(note, highlight=False)


def _console() -> Console:
    """As wide as the terminal; a file or a pipe gets room for any table."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _figure(summary: Mapping[str, Any] | None) -> str:
    """Mean ± standard error, or a dash."""
    return "-" if summary is None else str(Summary(**summary))


def _left_out(skipped: Counter[str]) -> list[str]:
    """One line on what could not be used, or none."""
    counts = [f"{reason}: {count}" for reason, count in sorted(skipped.items()) if count]
    return ["left out: " + ", ".join(counts)] if counts else []
