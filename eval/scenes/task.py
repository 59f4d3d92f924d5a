"""`gazeback evaluate scenes`: do a word's pixels lie on the thing that it names?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from gazeback.eval.data.selection import part_of, select
from gazeback.eval.harness.means import strata_table
from gazeback.eval.harness.table import Cell, Table
from gazeback.eval.harness.task import Example, Record, Records, Task
from gazeback.eval.harness.tuning import split
from gazeback.eval.scenes import protocol, quality
from gazeback.eval.scenes.captions import KINDS, VISUAL_KINDS, fixed
from gazeback.eval.scenes.scenes import SIDE, Scene, scene
from gazeback.eval.subjects.captioner import CaptionerSubject, Question
from gazeback.eval.subjects.methods import chosen_methods
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.contents import digest
from gazeback.models.errors import UserError

SCENES = 400
"""The number of scenes if no limit is given."""


@dataclass(frozen=True)
class ScenesTask(Task[CaptionerSubject]):
    """Measures the maps of words on drawn scenes.

    `model`: a bundled captioner of scenes, by name, or a file; `chosen`: methods between commas."""

    name: ClassVar[str] = "scenes"
    model: str = "scenes-gap"
    limit: int | None = None
    chosen: str = "evidence"

    @cached_property
    def methods(self) -> tuple[str, ...]:
        return chosen_methods(self.chosen)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        indices = range(self.limit or SCENES)
        names = [scene_name(index) for index in indices]
        return {scene_name(index): index for index in select(indices, names)}

    def names(self) -> Sequence[str]:
        return list(self._numbers)

    def cache_key(self) -> Mapping[str, Any]:
        return {"seed": protocol.HELD_OUT_SEED}

    def files(self, name: str) -> Sequence[Path]:
        return ()

    def model_digest(self, subject: CaptionerSubject) -> str:
        return digest(subject.captioner)

    def subject(self) -> CaptionerSubject:
        captioner = load_captioner(self.model)
        if captioner.image_size != SIDE:
            raise UserError(
                f"--model {self.model}: reads pictures of {captioner.image_size} pixels, scenes have {SIDE}; "
                "expected a captioner of gazeback train scenes"
            )
        return CaptionerSubject(captioner)

    def score(self, record: Record) -> float | None:
        """The mean energy of a scene's colours and shapes."""
        energies = [word["energy"] for word in record["words"] if word["kind"] in protocol.NAMED]
        return float(np.mean(energies)) if energies else None

    def tables(self, records: Records) -> list[Table]:
        first = records[self.methods[0]]
        summary = protocol.summarise(records)
        return [
            self._all(summary),
            *(_by_kind(summary, metric) for metric in protocol.METRICS[:3]),
            _visual(first),
            _captioner(first),
        ]

    def _all(self, summary: Mapping[str, Any]) -> Table:
        named = {method: row.get("named", {}) for method, row in summary.items()}
        rows = [
            (method, [*(row.get(metric) for metric in protocol.METRICS), summary[method]["threshold"]])
            for method, row in named.items()
        ]
        return Table(
            "Colours and shapes",
            [*(metric.replace("_", " ") for metric in protocol.METRICS), "threshold"],
            rows,
            list(_notes(named[self.methods[0]])),
        )

    def details(self, records: Records) -> Mapping[str, Any]:
        first = records[self.methods[0]]
        return {"scenes": {name: {"part": part_of(name), **record} for name, record in first.items()}}

    def _scene(self, name: str) -> Scene:
        return scene(protocol.HELD_OUT_SEED, self._numbers[name])

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        return {name: self._records(subject, self._scene(name), methods) for name in names}

    def _records(self, subject: CaptionerSubject, of: Scene, methods: Sequence[str]) -> dict[str, Record]:
        captioner = cast(Captioner, subject.captioner)
        (described,) = quality.evaluate(captioner, [of])
        records = protocol.measure(captioner, subject.methods(methods), of)
        return {method: {**record, "captioner": described} for method, record in records.items()}

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The first word of a shape in the scene's first caption."""
        of = self._scene(name)
        caption = fixed(of)[0]
        position = next(i for i, word in enumerate(caption) if word.kind == "shape")
        ids = subject.captioner.vocabulary.encode(word.text for word in caption)
        image = of.pixels.astype(np.float32)
        question = Question(image, subject.captioner.features(image[None])[0], ids, [position])
        maps = {method: answer(question) for method, answer in subject.methods(methods).items()}
        values = {}
        for method, of_method in maps.items():
            (score,) = protocol.scored(of, caption, [position], of_method)
            values[method] = f"pointing {score['pointing']:.0f}, energy {score['energy']:.2f}"
        return Example(
            of.pixels,
            {method: of_method[0] for method, of_method in maps.items()},
            title=f"{caption[position].text} in: {' '.join(word.text for word in caption)}",
            values=values,
            mask=caption[position].mask(of),
        )


def scene_name(index: int) -> str:
    """The name of a held-out scene, from its number."""
    return f"scene-{protocol.HELD_OUT_SEED}-{index:05d}"


def _notes(named: Mapping[str, Any]) -> Iterator[str]:
    if named:
        n, scenes, swapped = named["pointing"].n, named["pointing"].groups, named["swap_pointing"].n
        yield f"{n} words of {scenes} scenes, {swapped} of them swapped; ± standard error over scenes"
    yield "threshold: the fraction of a map's maximum where its region begins, chosen on the tune part by IoU"


def _by_kind(summary: Mapping[str, Any], metric: str) -> Table:
    first = next(iter(summary.values()))
    kinds = [kind for kind in VISUAL_KINDS if kind in first]
    rows: list[tuple[str, list[Cell]]] = [
        (kind, [first[kind][metric].n, *(row[kind][metric] for row in summary.values())]) for kind in kinds
    ]
    title = "IoU" if metric == "iou" else metric.capitalize()
    return strata_table(f"{title} by kind of word", ["n", *summary], rows, "kind")


def _visual(of_scenes: Mapping[str, Record]) -> Table:
    found = protocol.visual_by_kind(of_scenes)
    rows: list[tuple[str, list[Cell]]] = [
        (kind, [found[kind]["visual"].n, *found[kind].values()]) for kind in KINDS
    ]
    notes = [
        "chance: the opening, drawn at random; habit: the ending, which follows from the opening",
        "nats: log p(word | picture) - log p(word | mean picture); shares: of the word's probability",
    ]
    return Table(
        "What the picture decides", ["n", "visual share", "language share", "nats"], rows, notes, "kind"
    )


def _captioner(of_scenes: Mapping[str, Record]) -> Table:
    records = [record["captioner"] for record in split(of_scenes)[1].values()]
    found = quality.summarise(records)
    rows: list[tuple[str, list[Cell]]] = [
        ("generated captions that are true, all of it", [found["right"]]),
        ("named things that are there, colour and shape", [found["things"]]),
        ("words that go on with a true caption", [found["words"]]),
        ("perplexity per word", [found["perplexity"]]),
    ]
    return Table("The captioner", [""], rows)
