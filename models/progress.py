"""Progress of long work: a bar on a terminal or in a notebook, a line now and then in a log."""

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID

SECONDS = 30.0
"""The least time between two lines where the error stream is no terminal."""

REDRAWN = 0.2
"""The least time in seconds between two drawings of a bar in a notebook."""


class Bar(Progress):
    """A progress bar on a terminal and in a notebook, lines elsewhere.

    transient: remove the bar at the end. shown: False shows neither bar nor lines.
    """

    def __init__(self, *columns: str | ProgressColumn, transient: bool = True, shown: bool = True) -> None:
        console = Console(stderr=True, highlight=False)
        self._notebook: Any = None  # the place of the bar in a notebook, from the first drawing on
        self._in_notebook = shown and console.is_jupyter
        self._lines = shown and not console.is_terminal and not console.is_jupyter
        self._told = time.monotonic()
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
        """Draw the bar of a notebook, or print a line, if the last one is long ago."""
        if self._in_notebook:
            self._draw()
        if not self._lines or time.monotonic() - self._told < SECONDS:
            return
        self._told = time.monotonic()
        task = self._tasks[task_id]
        left = "" if task.time_remaining is None else f", about {task.time_remaining / 60:.0f} min left"
        total = "" if task.total is None else f" of {task.total:.0f}"
        self.console.print(
            f"{task.description}: {task.completed:.0f}{total}{left}", markup=False, soft_wrap=True
        )

    def _draw(self) -> None:
        """Draw the bar in a notebook. Rich itself would need the package ipywidgets for this."""
        from IPython.display import display

        if self._notebook is None:
            self._notebook = display(self.make_tasks_table(self.tasks), display_id=True)
        elif self.finished or time.monotonic() - self._told > REDRAWN:
            self._told = time.monotonic()
            self._notebook.update(self.make_tasks_table(self.tasks))
