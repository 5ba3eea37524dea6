"""Waiting made visible: a bar on stderr, only when loading or reading a prompt takes longer than a second.

No bar redirects streams: Rich would take over stdout while it draws on stderr, and an answer would end up there.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..screen import SCREEN

PATIENCE = 1.0  # seconds before anything is shown


class Bars:
    """Rich's bars, which Ctrl-Z takes away too. They are made anew then: the old ones would be drawn over what the
    shell wrote. Use as a context manager."""

    def __init__(self, make: Callable[[], Progress]) -> None:
        self.make = make
        self._progress = make()

    def __enter__(self) -> "Bars":
        with SCREEN.lock:
            self._progress.start()
            if not self._progress.disable:
                SCREEN.show(self)
        return self

    def __exit__(self, *_: object) -> None:
        with SCREEN.lock:
            SCREEN.hide(self)
            self._progress.stop()

    def leave(self) -> None:
        self._progress.stop()

    def back(self) -> None:
        before, self._progress = self._progress, self.make()
        for task in before.tasks:
            again = self._progress.add_task(task.description, total=task.total)
            self._progress.update(again, completed=task.completed)
        self._progress.start()

    def add(self, what: str, total: float, completed: int = 0) -> TaskID:
        with SCREEN.lock:
            return self._progress.add_task(what, total=total, completed=completed)

    def update(self, task: TaskID, **values: Any) -> None:
        with SCREEN.lock:
            self._progress.update(task, **values)


class Waiting:
    """`tell(what, share)` as often as you like; nothing is drawn off a terminal, or on one that obeys no codes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: Bars | None = None
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
        if self._bars is not None:
            self._bars.__exit__()
            self._bars = None
            self._tasks = {}

    def tell(self, what: str, share: float) -> None:
        if not self.console.is_interactive or time.monotonic() - self._began < PATIENCE:
            return
        if self._bars is None:
            self._bars = Bars(self._make).__enter__()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add(what, 1.0)
        self._bars.update(self._tasks[what], completed=share)

    def _make(self) -> Progress:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        return Progress(*columns, console=self.console, transient=True, redirect_stdout=False, redirect_stderr=False)
