"""`gazeback evaluate speed`, from a data folder or networks to the table and the JSON file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gazeback.eval import speed, speed_networks, tables
from gazeback.eval.harness.run import as_result
from gazeback.eval.harness.table import print_tables
from gazeback.eval.peers import PEERS
from gazeback.eval.phrases_data import PhraseData
from gazeback.eval.results import check_writable, tracked, write_result
from gazeback.eval.selection import RULE, Part
from gazeback.eval.word_maps import check_traced
from gazeback.grounding import methods as explanations
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.errors import UserError
from gazeback.models.photos import load_photo

SPEED_PHOTOS = 10


@dataclass(frozen=True)
class Settings:
    """What every task is told: the data and which of it, the captioner, and where the figures go."""

    data: Path
    split: str
    part: Part
    limit: int | None
    model: str | None
    json_path: Path | None

    def read(self) -> tuple[PhraseData, Captioner]:
        """The images and the captioner, after a look at whether the result can be written. Raises
        UserError."""
        check_writable(self.json_path)
        return PhraseData(self.data, self.split, self.part, self.limit), load_captioner(self.model)

    def write(self, task: str, captioner: Captioner, result: Mapping[str, Any]) -> None:
        """The JSON file, if one was asked for, with what was measured on what."""
        if self.json_path is not None:
            chosen = {"split": self.split, "part": self.part, "limit": self.limit, "selection": RULE}
            write_result(self.json_path, task, {"model": captioner.name, **chosen, **result})


def run_speed(settings: Settings, method: str, rounds: int) -> None:
    check_traced(method)
    settings = replace(settings, limit=settings.limit or SPEED_PHOTOS)
    data, captioner = settings.read()
    photos = [load_photo(image.path) for image in data]
    measured = list(tracked(speed.evaluate(captioner, photos, rounds, method), len(photos), "speed"))
    summary = speed.summarise(measured)
    found = tables.speed_tables(summary)
    print_tables(found)
    about = {"method": method, "rounds": rounds, **as_result(found)}
    settings.write("speed", captioner, {**about, **summary, "images": measured})


def run_networks(
    names: str | None, batches: str, methods: str, memory: bool, rounds: int, json_path: Path | None
) -> None:
    """Time or memory of methods on networks of `keras.applications`, each a row of the table and the JSON."""
    check_writable(json_path)
    chosen = listed(names) if names is not None else list(speed_networks.NETWORKS)
    speed_networks.check_networks(chosen)
    sizes = [_size(size) for size in listed(batches)]
    asked = listed(methods)
    explanations.check_methods([name for name in asked if name not in PEERS] or asked)
    if memory:
        asked = [name for name in asked if explanations.is_traced(name)]
        rows = [row for size in sizes for row in speed_networks.memory(chosen, size, asked)]
    else:
        total = len(chosen) * len(sizes)
        rows = list(tracked(speed_networks.evaluate(chosen, sizes, asked, rounds), total, "speed"))
    table = tables.network_table(rows, asked, memory)
    print_tables([table])
    if json_path is not None:
        about = {"methods": asked, "rounds": rounds, "weights": "random", **as_result([table])}
        write_result(json_path, "memory" if memory else "speed", {**about, "networks": rows})


def listed(names: str) -> list[str]:
    """What stands between commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def _size(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--batch: expected whole numbers above 0 between commas, got {text!r}")
    return int(text)
