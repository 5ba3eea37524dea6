"""What `speccas bench` shows: tables, how far it is, how long it will take. Knows reports; measures nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from speccas.core.measure.bench import Progress as Step
from speccas.core.measure.report import Report, Table, head, tables, warnings
from speccas.core.measure.summary import FORMULAS

from .safe import one_line, visible

EVERY = 30.0  # seconds between lines where nothing may be redrawn


@contextmanager
def progress(console: Console, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """A bar with the time left, on stderr; off a terminal a line every half minute."""
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=console, transient=True, speed_estimate_period=3600) as bar:
            task = bar.add_task("measuring")

            def tell(step: Step) -> None:
                what = "warming up" if step.warming else "measuring"
                bar.update(task, completed=step.done, total=step.total, description=what)

            yield tell
    else:
        yield Lines(console, time.monotonic)


class Lines:
    """Progress as lines, seldom."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console = console
        self.clock = clock
        self.began: tuple[float, int] | None = None
        self.last = clock()

    def __call__(self, step: Step) -> None:
        now = self.clock()
        if step.warming:
            self.console.print(Text(f"warming up; {step.total - step.done} answers to go"))
            return
        if self.began is None:
            self.began = (now, step.done)
        if now - self.last < EVERY or step.done == self.began[1]:
            return
        self.last = now
        start, before = self.began
        left = (now - start) / max(1, step.done - before) * (step.total - step.done)
        self.console.print(Text(f"{step.done} of {step.total} answers, about {span(left)} left"))


def span(seconds: float) -> str:
    """Seconds as people say them."""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def show_report(console: Console, report: Report) -> None:
    """Everything on the console, formulas under it."""
    for line in head(report):
        console.print(Text(visible(line), style="dim"))
    for line in warnings(report):
        console.print(Text(visible(line), style="yellow"))
    for table in tables(report):
        console.print()
        show_table(console, table)
    console.print()
    show_notes(console, FORMULAS)


def show_notes(console: Console, notes: Sequence[str]) -> None:
    for line in notes:
        console.print(Text(line, style="dim"))


def show_table(console: Console, table: Table) -> None:
    """A table where it fits the width; else each row as lines."""
    console.print(Text(visible(table.title), style="bold"))
    widths = [max(len(row[i]) for row in (table.columns, *table.rows)) for i in range(len(table.columns))]
    if sum(widths) + 2 * len(widths) <= console.width:
        drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for i, name in enumerate(table.columns):
            drawn.add_column(one_line(name), justify="right" if i else "left", no_wrap=True)
        for row in table.rows:
            drawn.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(drawn)
        return
    for row in table.rows:
        console.print(Text(one_line(row[0]), style="bold"))
        for name, cell in zip(table.columns[1:], row[1:], strict=True):
            if cell != "-":
                console.print(Text(f"  {name:<14}{one_line(cell)}"), soft_wrap=True)
