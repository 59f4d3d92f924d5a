"""Run `gazeback evaluate speed`, from a data folder or networks to the table and the JSON file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.data.selection import RULE
from gazeback.eval.harness.run import as_result, tracked, write_result
from gazeback.eval.harness.table import Table, print_tables
from gazeback.eval.speed import captioner as speed
from gazeback.eval.speed import networks as speed_networks
from gazeback.eval.speed.peers import PEERS
from gazeback.grounding import methods as explanations
from gazeback.models.captioner import load_captioner
from gazeback.models.errors import UserError
from gazeback.models.photos import load_photo
from gazeback.models.writing import check_output


def speed_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The tables of ratios and of the times that they come from."""
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
    """The table with one row for each network and batch size: each method's ratio and, for times, its
    quartiles."""
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


SPEED_PHOTOS = 10


def run_speed(
    data: Path,
    split: str,
    limit: int | None,
    model: str | None,
    method: str,
    rounds: int,
    json_path: Path | None,
) -> None:
    """Time the grounding of a captioner's photos; print the table and write it. Raises UserError."""
    explanations.check_traced(method)
    check_output(json_path, "--json", ".json")
    limit = limit or SPEED_PHOTOS
    images, captioner = PhraseData(data, split, "all", limit), load_captioner(model)
    photos = [load_photo(image.path) for image in images]
    measured = list(tracked(speed.evaluate(captioner, photos, rounds, method), len(photos), "speed"))
    together = speed.evaluate_batch(captioner, photos, rounds, method)
    parts = [speed.summarise(measured), speed.summarise(together, speed.BATCH_RATIOS)]
    summary = {name: {**parts[0][name], **parts[1][name]} for name in parts[0]}
    found = speed_tables(summary)
    print_tables(found)
    if json_path is not None:
        about = {"split": split, "part": "all", "limit": limit, "selection": RULE, "method": method}
        about |= {"model": captioner.name, "rounds": rounds, **as_result(found)}
        write_result(json_path, "speed", {**about, **summary, "images": measured, "batches": together})


def run_networks(
    names: str | None, batches: str, methods: str, memory: bool, rounds: int, json_path: Path | None
) -> None:
    """Measure time or memory of methods on networks of `keras.applications`, each a row of the table and the
    JSON."""
    check_output(json_path, "--json", ".json")
    chosen = listed(names) if names is not None else list(speed_networks.NETWORKS)
    speed_networks.check_networks(chosen)
    sizes = [_size(size) for size in listed(batches)]
    asked = listed(methods)
    explanations.check_methods([name for name in asked if name not in PEERS] or asked)
    if memory:
        rows = [row for size in sizes for row in speed_networks.memory(chosen, size, asked)]
    else:
        total = len(chosen) * len(sizes)
        rows = list(tracked(speed_networks.evaluate(chosen, sizes, asked, rounds), total, "speed"))
    table = network_table(rows, asked, memory)
    print_tables([table])
    if json_path is not None:
        about = {"methods": asked, "rounds": rounds, "weights": "random", **as_result([table])}
        write_result(json_path, "memory" if memory else "speed", {**about, "networks": rows})


def listed(names: str) -> list[str]:
    """Split a text at its commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def _size(text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or int(text) < 1:
        raise UserError(f"--batch: expected whole numbers above 0 between commas, got {text!r}")
    return int(text)
