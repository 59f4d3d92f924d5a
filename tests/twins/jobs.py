"""A job that squares numbers, and once kills its own process."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gazeback.models.errors import UserError


@dataclass(frozen=True)
class Squares:
    folder: Path
    killed_at: int | None = None
    every_time: bool = False

    def load(self) -> str:
        return "loaded"

    def answers(self, loaded: str, batch: list[int]) -> Iterator[int]:
        assert loaded == "loaded"
        (self.folder / f"begun-{batch[0]}").touch()
        killed = self.folder / "killed"
        if self.killed_at in batch and (self.every_time or not killed.exists()):
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for number in batch:
            if number < 0:
                raise UserError(f"{number} is below 0")
            yield number * number


@dataclass(frozen=True)
class Pages:
    """A job whose every answer has so many bytes."""

    size: int

    def load(self) -> None:
        pass

    def answers(self, loaded: None, batch: list[int]) -> Iterator[bytes]:
        for _ in batch:
            yield bytes(self.size)
