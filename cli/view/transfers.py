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

from ..keys import unechoed
from .flow import cells, clip
from .progress import Bars
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
        self._bars = Bars(self._make)
        self._unechoed = unechoed()

    def _make(self) -> Progress:
        whole = Column(no_wrap=True)  # a cell that wrapped would make two lines of one
        return Progress(
            TextColumn("{task.description}", markup=False, table_column=whole),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(table_column=whole),
            TransferSpeedColumn(table_column=whole),
            TimeRemainingColumn(table_column=whole),
            console=self.console,
            disable=self.quiet or not self.console.is_interactive,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "Transfers":
        self._unechoed.__enter__()
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__()
        self._unechoed.__exit__(kind, error, trace)

    def tell(self, file: str, done: int, size: int) -> None:
        if self.quiet:
            return
        if file not in self._tasks:
            name = one_line(file)
            shown = ending(name, self.console.width - FIGURES)
            self._tasks[file] = self._bars.add(shown, size, done)
            if not self.console.is_interactive:
                self.console.print(f"{name}: {size / 1e6:,.1f} MB", soft_wrap=True)
        self._bars.update(self._tasks[file], completed=done)
