"""Checkpoints of a training run: all variables and the epoch, written atomically after every epoch."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


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
        """Write the values of all variables, the current ones and those of the best epoch, in a fixed
        order."""
        arrays: dict[str, Any] = {f"current/{i}": value for i, value in enumerate(current)}
        arrays |= {f"best/{i}": value for i, value in enumerate(best)}
        about = json.dumps({"settings": self.settings, **asdict(standing)})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        with open(partial, "wb") as target:
            np.savez(target, **arrays, about=np.array(about))
        os.replace(partial, self.file)

    def load(self) -> tuple[Standing, list[np.ndarray], list[np.ndarray]] | None:
        """Return (standing, current arrays, best arrays), or None if there is no file for these settings."""
        if not self.file.is_file():
            return None
        with np.load(self.file, allow_pickle=False) as content:
            about = json.loads(str(content["about"]))
            if about.pop("settings") != self.settings:
                return None
            current, best = (
                [content[f"{group}/{i}"] for i in range(self._count(content, group))]
                for group in ("current", "best")
            )
            return Standing(**about), current, best

    @staticmethod
    def _count(content: np.lib.npyio.NpzFile, group: str) -> int:
        return sum(name.startswith(f"{group}/") for name in content.files)
