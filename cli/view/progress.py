"""Waiting made visible: a bar on stderr, only when loading or reading a prompt takes longer than a second.

No bar redirects streams: Rich would take over stdout while it draws on stderr, and an answer would end up there.
"""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PATIENCE = 1.0  # seconds before anything is shown


class Waiting:
    """`tell(what, share)` as often as you like; nothing is drawn off a terminal, or on one that obeys no codes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began = time.monotonic()

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; `tell` may bring it back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks = {}

    def tell(self, what: str, share: float) -> None:
        if not self.console.is_interactive or time.monotonic() - self._began < PATIENCE:
            return
        if self._progress is None:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
            self._progress = Progress(
                *columns, console=self.console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=1.0)
        self._progress.update(self._tasks[what], completed=share)
