"""A bar for each file that is fetched or read through, with speed and time left, on stderr. Where nothing may be
redrawn: one line a file.
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
from rich.table import Column

from .flow import cells, clip
from .safe import one_line

FIGURES = 48  # cells: bytes, speed, time left and the shortest bar
LEAST = 12  # cells of a name, however narrow the terminal is


def ending(name: str, room: int) -> str:
    """A name that fits: its end tells the quantisation and the part of a split model."""
    room = max(LEAST, room)
    return name if cells(name) <= room else "…" + clip(name[::-1], room - 1)[::-1]


class Transfers:
    """`tell(file, done, size)` as often as you like."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self._tasks: dict[str, TaskID] = {}
        whole = Column(no_wrap=True)  # a cell that wrapped would make two lines of one
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=whole),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(table_column=whole),
            TransferSpeedColumn(table_column=whole),
            TimeRemainingColumn(table_column=whole),
            console=console,
            disable=quiet or not console.is_interactive,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
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
            shown = ending(name, self.console.width - FIGURES)
            self._tasks[file] = self._progress.add_task(shown, total=size, completed=done)
            if not self.console.is_interactive:
                self.console.print(f"{name}: {size / 1e6:,.1f} MB", soft_wrap=True)
        self._progress.update(self._tasks[file], completed=done)
