"""`gazeback evaluate sanity`: do the maps depend on what the network has learnt, and on the class?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.class_task import ClassMeasurer, ClassTask, mean_cell
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.identities import cut_off, identities
from gazeback.eval.localization_data import WRONG_CLASS_RULE, LabelledImage, read
from gazeback.eval.sanity import STAGES, copied, likeness, randomise
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.photos import load_photo, squeeze

SWAPPED = "another class"
EXACT = "evidence"
"""The method that says that its sums are exact: on each of its images both identities are measured, too."""


class SanityTask(ClassTask):
    """Maps of the trained network and of networks whose layers are shuffled more and more."""

    name: ClassVar[str] = "sanity"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"stages": STAGES}

    def open(self) -> "SanityMeasurer":
        return SanityMeasurer(self, self.load())

    def tables(self, records: Records) -> Sequence[Table]:
        exact = [_identities(records[EXACT])] if EXACT in records else []
        return [_likeness("rank", "Spearman's", records), _likeness("plain", "Pearson's", records), *exact]

    def worth(self, record: Record) -> float | None:
        """How unlike the trained network's map those of the random networks are, on the whole."""
        return 1 - float(np.mean([record[stage]["rank"] for stage in STAGES]))


class SanityMeasurer(ClassMeasurer):
    """A classifier with a copy that is shuffled stage by stage, and the bundled captioner."""

    @cached_property
    def _shuffled(self) -> ClassMeasurer:
        # One copy for all stages: whatever methods compile, they compile once.
        return ClassMeasurer(self.task, replace(self.classifier, model=copied(self.classifier.model)))

    @cached_property
    def _captioners(self) -> tuple[Captioner, Captioner]:
        captioner = load_captioner()
        return captioner, cut_off(captioner)

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        images = [self.task.images[name] for name in names]
        pixels = read(images, self.classifier).pixels
        predicted = self.classifier.probabilities(pixels).argmax(axis=1)
        others = np.array([self._another(*pair) for pair in zip(images, predicted, strict=True)])
        trained = {method: self.maps(method, pixels, predicted) for method in methods}
        compared = {SWAPPED: {method: self.maps(method, pixels, others) for method in methods}}
        for stage, share in STAGES.items():
            randomise(self._shuffled.classifier.model, self.classifier.model, share)
            compared[stage] = {m: self._shuffled.maps(m, pixels, predicted) for m in methods}
        found: dict[str, dict[str, Any]] = {
            name: {
                method: {
                    column: likeness(trained[method][i], maps[method][i]) for column, maps in compared.items()
                }
                for method in methods
            }
            for i, name in enumerate(names)
        }
        for image in images if EXACT in methods else ():
            found[image.file_name][EXACT]["identities"] = self._identities(image)
        return found

    def _another(self, image: LabelledImage, label: int) -> int:
        """Another class than this one, by the rule that finds another one than the true one."""
        return replace(image, label=int(label)).wrong_class(len(self.classifier.class_names))

    def _identities(self, image: LabelledImage) -> dict[str, float]:
        captioner, cut = self._captioners
        pixels = squeeze(load_photo(image.path), captioner.image_size).pixels
        words = captioner.generate(pixels[None])[0].ids
        return identities(captioner, cut, pixels, words) if words else {}


def _likeness(kind: str, whose: str, records: Records) -> Table:
    columns = [*STAGES, SWAPPED]
    rows = [
        (method, [mean_cell({name: r[column][kind] for name, r in of.items()}) for column in columns])
        for method, of in records.items()
    ]
    notes = [
        f"{len(next(iter(records.values())))} images; ± standard error. {whose} correlation with the trained "
        "network's map for the class that it predicts. Last layer to all: the share of the layers that is "
        f"shuffled, from the output down. {SWAPPED.capitalize()}: of the trained network, chosen by "
        f"{WRONG_CLASS_RULE}."
    ]
    return Table(f"Likeness to the trained network's map, {kind}", columns, rows, notes, "method")


def _identities(records: Mapping[str, Record]) -> Table:
    found = [record["identities"] for record in records.values() if record["identities"]]
    rows = {
        "largest error of a word's sum, in logits": "sum error",
        "largest visual share of a word, image cut off": "cut off",
        "largest visual share of a word, with the photo": "visual share",
    }
    cells = {label: max((of[key] for of in found), default=None) for label, key in rows.items()}
    lines = [(label, [None if value is None else f"{value:.1e}"]) for label, value in cells.items()]
    notes = [f"the bundled captioner's captions of {len(found)} photos"]
    return Table("Identities of a captioner", ["value"], lines, notes)
