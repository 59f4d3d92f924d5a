"""`gazeback evaluate confidence`: does the classifier need what a map points at, and is it enough?"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from gazeback.eval.data.folder import Need
from gazeback.eval.data.selection import part_of
from gazeback.eval.harness.means import means_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.harness.tuning import best, split
from gazeback.eval.metrics.boxes import centre_box, region_box
from gazeback.eval.metrics.maps import Box
from gazeback.eval.metrics.statistics import grouped_mean
from gazeback.eval.perturbations import occlusion as confidence
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask
from gazeback.eval.subjects.methods import CENTRE

THRESHOLDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8)

CENTRE_SIDES = tuple(round(0.4 + 0.05 * step, 2) for step in range(8))

KEPT_AREA = 0.4
"""The mean fraction of the area that a method's box keeps. Each threshold is chosen to reach it, because a
larger box always gives more confidence."""


class ConfidenceTask(ObjectTask):
    """Measures a classifier's confidence in its predicted class when parts of the photo are removed."""

    name: ClassVar[str] = "confidence"
    batch: ClassVar[int] = 1
    need: ClassVar[Need | None] = None
    tunes: ClassVar[bool] = True

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"thresholds": THRESHOLDS, "sides": CENTRE_SIDES, "steps": confidence.STEPS}

    def tables(self, records: Records) -> Sequence[Table]:
        reported = {
            method: {name: r for name, r in of.items() if self.part in ("all", part_of(name))}
            for method, of in records.items()
        }
        return [self._boxes(records), _taken(reported), _occluded(reported)]

    def score(self, record: Record) -> float | None:
        """The area under insertion minus that under deletion."""
        return float(record["insertion"] - record["deletion"])

    def _boxes(self, records: Records) -> Table:
        names = list(next(iter(records.values())))
        tune, reported = (list(part) or names for part in split(dict.fromkeys(names), self.part))
        rows = []
        for method, of_method in records.items():
            place = chosen_place([of_method[name]["area"] for name in tune])
            shown = {name: of_method[name] for name in reported}
            setting = f"side {CENTRE_SIDES[place]}" if method == CENTRE else THRESHOLDS[place]
            rows.append(
                (
                    method,
                    [
                        setting,
                        grouped_mean({name: r["area"][place] for name, r in shown.items()}),
                        grouped_mean({name: float(r["kept"][place] > r["p"]) for name, r in shown.items()}),
                        grouped_mean({n: max(drop(r["p"], r["kept"][place]), 0) for n, r in shown.items()}),
                    ],
                )
            )
        notes = [
            f"{len(reported)} images; ± standard error. The predicted class; everything outside the box of "
            "the map's heaviest region gets the photo's mean colour. Each method's threshold is the one "
            f"that keeps about {KEPT_AREA} of the area on {len(tune)} images of the tune part."
        ]
        return Table("Only the box kept", BOX_COLUMNS, rows, notes, "method")

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        found: dict[str, dict[str, Record]] = {}
        for name in names:
            pixels = subject.prepare(self.read[name].path).pixels
            plain = np.stack([pixels, confidence.random_occluded(pixels, name)])
            before = subject.classifier.probabilities(plain)
            predicted = int(before[0].argmax())
            whole, chance = before[:, predicted].astype(float).tolist()
            of_photo = {"p": whole, "random": drop(whole, chance)}
            found[name] = {
                method: {**of_photo, **self._of(subject, method, pixels, predicted, whole)}
                for method in methods
            }
        return found

    def _of(
        self, subject: ClassifierSubject, method: str, pixels: np.ndarray, predicted: int, whole: float
    ) -> dict[str, Any]:
        """Measure a method on one photo, whose predicted class has the probability `whole`."""
        heat = subject.maps(method, [pixels], [predicted])[0]
        kept = [confidence.box_kept(pixels, box) for box in boxes(method, heat)]
        empty = np.broadcast_to(confidence.mean_colour(pixels), pixels.shape)
        series = {
            "kept": np.stack([photo for photo, _ in kept]),
            "occluded": confidence.box_occluded(pixels, heat)[None],
            "deletion": confidence.step_by_step(pixels, empty, heat),
            "insertion": confidence.step_by_step(confidence.blurred_photo(pixels), pixels, heat),
        }
        answers = subject.classifier.probabilities(np.concatenate(list(series.values())))[:, predicted]
        ends = np.cumsum([len(photos) for photos in series.values()])[:-1]
        p = dict(zip(series, np.split(answers.astype(float), ends), strict=True))
        return {
            "kept": p["kept"].round(5).tolist(),
            "area": [round(area, 4) for _, area in kept],
            "occluded": drop(whole, float(p["occluded"][0])),
            "deletion": confidence.area_under(p["deletion"]),
            "insertion": confidence.area_under(p["insertion"]),
        }


BOX_COLUMNS = ("threshold", "area kept", "increase in confidence", "average drop")


def boxes(method: str, heat: np.ndarray) -> list[Box]:
    """A method's boxes, one for each setting; all maps have the same rule, and `center` has its own."""
    if method == CENTRE:
        return [centre_box(heat.shape, side) for side in CENTRE_SIDES]
    return [region_box(heat, threshold) for threshold in THRESHOLDS]


def chosen_place(areas: Sequence[Sequence[float]]) -> int:
    """Find the setting whose mean area is nearest to `KEPT_AREA`; `areas` [images, settings]."""
    return best(-np.abs(np.mean(areas, axis=0) - KEPT_AREA))


def drop(before: float, after: float) -> float:
    """The relative drop of a probability; negative if it rose."""
    return (before - after) / before


def _taken(records: Records) -> Table:
    notes = [
        f"Area under the predicted class's probability in {confidence.STEPS} steps, the most relevant pixels "
        "first (RISE): deletion to the photo's mean colour (smaller is better), insertion into the blurred "
        "photo (larger is better)."
    ]
    return means_table("Pixel by pixel", records, {"deletion": "deletion", "insertion": "insertion"}, notes)


def _occluded(records: Records) -> Table:
    columns = {"occluded": "drop in confidence"}
    notes = [
        f"The {confidence.OCCLUDED:.0%} most relevant of {confidence.GRID} x {confidence.GRID} boxes get the "
        "photo's mean colour; random: as many boxes, drawn by the photo's name."
    ]
    table = means_table("Boxes occluded", records, columns, notes)
    chance = {name: record["random"] for name, record in next(iter(records.values())).items()}
    rows = [*table.rows, ("random", [grouped_mean(chance)])]
    return Table(table.title, table.columns, rows, notes, "method")
