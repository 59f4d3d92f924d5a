"""How the evidence for a wrong prediction differs from that for the truth (*CNN Fixations*, section IV-E)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gazeback.eval.localization import correlation
from gazeback.eval.metrics import energy_inside


@dataclass(frozen=True)
class Mistake:
    """An image that is taken for something else: classes, their probabilities, and how one method's maps of
    the two compare.

    correlation: Pearson's, of the two maps; None where one is even. predicted_energy, true_energy: the share
    of each map inside the object's boxes; None where there are none.
    """

    predicted: int
    true: int
    predicted_probability: float
    true_probability: float
    correlation: float | None
    predicted_energy: float | None
    true_energy: float | None

    @property
    def difference(self) -> float | None:
        """How much more of the true class's map lies inside the boxes."""
        if self.true_energy is None or self.predicted_energy is None:
            return None
        return self.true_energy - self.predicted_energy

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Mistake | None":
        """From a record; None for an image that is predicted right."""
        return None if record["right"] else cls(**{name: record[name] for name in cls.__dataclass_fields__})

    def as_record(self) -> dict[str, Any]:
        return {"right": False, **asdict(self)}


def compared(predicted_map: np.ndarray, true_map: np.ndarray, mask: np.ndarray | None) -> dict[str, Any]:
    """How two maps, float [height, width] nowhere negative, compare; `mask`: bool, where the object is."""
    inside: list[float] | list[None] = [None, None]
    if mask is not None and mask.any():
        inside = energy_inside(np.stack([predicted_map, true_map]), mask[None])[:, 0].tolist()
    together = correlation(predicted_map, true_map).get("correlation")
    return {"correlation": together, "predicted_energy": inside[0], "true_energy": inside[1]}


def most_confident(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Mistake]:
    """One method's mistakes, that with the largest probability of the wrong class first."""
    found = {name: Mistake.of(record) for name, record in records.items()}
    mistakes = {name: mistake for name, mistake in found.items() if mistake is not None}
    return dict(sorted(mistakes.items(), key=lambda item: (-item[1].predicted_probability, item[0])))
