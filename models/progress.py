"""Progress of long work on the error stream: a bar on a terminal, a line now and then in a log."""

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID

SECONDS = 30.0
"""The least time between two lines where the error stream is no terminal."""


class Bar(Progress):
    """A progress bar, or lines where there is no terminal.

    transient: remove the bar at the end. shown: False shows neither bar nor lines.
    """

    def __init__(self, *columns: str | ProgressColumn, transient: bool = True, shown: bool = True) -> None:
        console = Console(stderr=True, highlight=False)
        self._lines, self._told = shown and not console.is_terminal, time.monotonic()
        super().__init__(
            *columns,
            console=console,
            transient=transient,
            disable=not shown or not console.is_terminal,
            redirect_stdout=False,  # otherwise results would be sent to stderr
            redirect_stderr=False,
        )

    def update(self, task_id: TaskID, **fields: Any) -> None:
        super().update(task_id, **fields)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        """Print a line, if the last one is long ago."""
        if not self._lines or time.monotonic() - self._told < SECONDS:
            return
        self._told = time.monotonic()
        task = self._tasks[task_id]
        left = "" if task.time_remaining is None else f", about {task.time_remaining / 60:.0f} min left"
        total = "" if task.total is None else f" of {task.total:.0f}"
        self.console.print(
            f"{task.description}: {task.completed:.0f}{total}{left}", markup=False, soft_wrap=True
        )
