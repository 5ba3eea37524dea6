"""A bar for each file that is fetched or read through, with speed and time left, on stderr. Off a terminal: one line a
file. Knows names and bytes; not what is done with them.
"""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from .safe import one_line


class Transfers:
    """`tell(file, done, size)` as often as you like."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> "Transfers":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, file: str, done: int, size: int) -> None:
        if self.quiet:
            return
        if file not in self._tasks:
            name = one_line(file)
            self._tasks[file] = self._progress.add_task(name, total=size, completed=done)
            if not self.console.is_terminal:
                self.console.print(f"{name}: {size / 1e6:,.1f} MB", soft_wrap=True)
        self._progress.update(self._tasks[file], completed=done)
