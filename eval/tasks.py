"""The tasks of `gazeback evaluate`, from a data folder to the table and the JSON file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gazeback.eval import captions, phrases, preceding, speed, speed_networks, tables, words
from gazeback.eval.peers import PEERS
from gazeback.eval.phrases_data import PhraseData
from gazeback.eval.results import check_writable, tracked, write_result
from gazeback.eval.selection import RULE, Part, part_of
from gazeback.eval.word_maps import build_method, check_methods, check_traced
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


def run_phrases(settings: Settings, method_names: str) -> None:
    names = check_methods(method_names)
    data, captioner = settings.read()
    methods = {name: build_method(name, captioner) for name in names}
    scores = {
        measured[0].file_name: measured[1]
        for measured in tracked(phrases.evaluate(captioner, methods, data), len(data), "phrases")
        if measured is not None
    }
    summary, paired = phrases.summarise(scores), phrases.differences(scores, names[0])
    tables.show_phrases(summary, paired, names[0], data.skipped)
    images = [
        {"file_name": name, "part": part_of(name), "phrases": [score.as_json() for score in of_image]}
        for name, of_image in scores.items()
    ]
    result = {"skipped": data.skipped, "methods": summary, f"{names[0]} minus": paired, "images": images}
    settings.write("phrases", captioner, result)


def run_words(settings: Settings) -> None:
    data, captioner = settings.read()
    shares = {
        measured[0].file_name: measured[1]
        for measured in tracked(words.evaluate(captioner, data), len(data), "words")
        if measured is not None
    }
    summary = words.summarise(shares)
    tables.show_words(summary, len(shares), data.skipped)
    settings.write("words", captioner, {"skipped": data.skipped, "kinds": summary})


def run_preceding(settings: Settings) -> None:
    data, captioner = settings.read()
    found = {
        measured[0].file_name: measured[1]
        for measured in tracked(preceding.evaluate(captioner, data), len(data), "preceding")
        if measured is not None
    }
    summary, paired = preceding.summarise(found), preceding.differences(found)
    tables.show_preceding(summary, paired, data.skipped)
    images = [{"file_name": name, "words": [w.as_json() for w in before]} for name, before in found.items()]
    result = {"skipped": data.skipped, "measures": summary, "differences": paired, "images": images}
    settings.write("preceding", captioner, result)


def run_speed(settings: Settings, method: str, rounds: int) -> None:
    check_traced(method)
    settings = replace(settings, limit=settings.limit or SPEED_PHOTOS)
    data, captioner = settings.read()
    photos = [load_photo(image.path) for image in data]
    measured = list(tracked(speed.evaluate(captioner, photos, rounds, method), len(photos), "speed"))
    summary = speed.summarise(measured)
    tables.show_speed(summary)
    settings.write("speed", captioner, {"method": method, "rounds": rounds, **summary, "images": measured})


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
    tables.show_networks(rows, asked, memory)
    if json_path is not None:
        about = {"methods": asked, "rounds": rounds, "weights": "random"}
        write_result(json_path, "memory" if memory else "speed", {**about, "networks": rows})


def listed(names: str) -> list[str]:
    """What stands between commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def _size(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--batch: expected whole numbers above 0 between commas, got {text!r}")
    return int(text)


def run_captions(settings: Settings) -> None:
    check_writable(settings.json_path)
    chosen = captions.read_captions(settings.data, settings.split, settings.limit)
    captioner = load_captioner(settings.model)
    captioned = list(tracked(captions.evaluate(captioner, chosen), len(chosen), "captions"))
    summary = captions.summarise(captioned)
    tables.show_captions(summary, len(captioned))
    images = [photo.as_json() for photo in captioned]
    settings.write("captions", captioner, {"scores": summary, "images": images})
