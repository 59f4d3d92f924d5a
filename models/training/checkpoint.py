"""Checkpoints of a training run: all variables and the epoch, written atomically after every epoch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.models.reading import Known, decode_json, is_file, read_arrays
from gazeback.models.writing import json_text, whole, writing_to


@dataclass(frozen=True)
class Standing:
    """The progress of a phase. ``best_loss`` is the lowest dev loss so far, reached after ``best_epoch``
    epochs.
    """

    phase: str
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    seconds: float = 0.0
    finished: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """One phase's file. ``settings`` is any text; a file written under other settings is not resumed."""

    file: Path
    settings: str

    def save(self, standing: Standing, current: list[np.ndarray], best: list[np.ndarray]) -> None:
        """Write the values of all variables, the current ones and those to keep, in a fixed
        order."""
        arrays: dict[str, Any] = {f"current/{i}": value for i, value in enumerate(current)}
        arrays |= {f"best/{i}": value for i, value in enumerate(best)}
        about = json_text({"settings": self.settings, **asdict(standing)})
        with writing_to(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole(self.file) as temporary, open(temporary, "wb") as target:
                np.savez(target, **arrays, about=np.array(about))

    def load(self) -> tuple[Standing, list[np.ndarray], list[np.ndarray]] | None:
        """Return (standing, current arrays, best arrays), or None if there is no file for these settings.

        Raises DataError for a damaged file.
        """
        if not is_file(self.file):
            return None
        expected = "a checkpoint of gazeback train; delete it to start anew"
        content = read_arrays(self.file, str(self.file), expected)
        about = decode_json(str(content.get("about", "")), _About, str(self.file), expected)
        if about.settings != self.settings:
            return None
        current, best = (
            [content[f"{group}/{i}"] for i in range(self._count(content, group))]
            for group in ("current", "best")
        )
        best_loss = float("inf") if about.best_loss is None else about.best_loss
        standing = Standing(
            about.phase, about.epoch, about.best_epoch, best_loss, about.seconds, about.finished
        )
        return standing, current, best

    @staticmethod
    def _count(content: Mapping[str, np.ndarray], group: str) -> int:
        return sum(name.startswith(f"{group}/") for name in content)


class _About(Known):
    settings: str
    phase: str
    epoch: int
    best_epoch: int
    best_loss: float | None
    seconds: float
    finished: bool
