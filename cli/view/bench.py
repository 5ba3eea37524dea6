"""What `speccas bench` shows: tables, how far it is, how long it will take."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from speccas.core.bench.conclusion import conclusion
from speccas.core.bench.protocol import Progress as Step
from speccas.core.bench.report import Report, head, warnings
from speccas.core.bench.summary import FORMULAS
from speccas.core.bench.tables import Table, tables

from .progress import Bars
from .safe import visible
from .tables import draw
from .theme import STYLES, make_console

WIDE = 200  # columns of a pipe or a file
EVERY = 60.0  # seconds between lines where nothing may be redrawn


@contextmanager
def progress(console: Console, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """A bar with the time left, on stderr; where nothing may be redrawn a line a minute."""
    if quiet:
        yield lambda _: None
    elif console.is_interactive:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )

        def make() -> Progress:
            return Progress(
                *columns,
                console=console,
                transient=True,
                speed_estimate_period=3600,
                redirect_stdout=False,
                redirect_stderr=False,
            )

        with Bars(make) as bar:
            task = bar.add("measuring", 100.0)

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
        self.told = 0
        """Answers of the step before."""

    def __call__(self, step: Step) -> None:
        now = self.clock()
        if step.warming:
            self._say(f"warming up; {step.total - step.done} answers to go")
            return
        if self.began is None:
            self.began, self.last = (now, step.done), now
            if step.done < step.total:
                self._say(f"measuring; {step.done} of {step.total} answers")
        elif step.done == step.total and self.told < step.total:
            self._say(f"{step.done} of {step.total} answers")
        elif now - self.last >= EVERY and step.done > self.began[1]:
            self.last = now
            start, before = self.began
            left = (now - start) / (step.done - before) * (step.total - step.done)
            self._say(f"{step.done} of {step.total} answers, about {span(left)} left")
        self.told = step.done

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)
        self.console.file.flush()


def span(seconds: float) -> str:
    """Seconds as people say them."""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def show_report(console: Console, report: Report) -> None:
    """Everything on the console: what it came to, then the figures, formulas under them."""
    if told := conclusion(report.arms):
        console.print(Text(visible(told), style="bold"))
    for line in () if report.frontier is None else report.frontier.claims:
        console.print(Text(visible(line)))
    for line in head(report):
        console.print(Text(visible(line), style="dim"))
    for line in warnings(report):
        console.print(Text(visible(line), style=STYLES["warning"]))
    for table in tables(report):
        console.print()
        show_table(console, table)
    console.print()
    show_notes(console, FORMULAS)


def report_console() -> Console:
    """stdout; tables stay whole in a pipe or a file."""
    console = make_console()
    return console if console.is_terminal else make_console(width=WIDE)


def show_notes(console: Console, notes: Sequence[str]) -> None:
    for line in notes:
        console.print(Text(line, style="dim"))


def show_table(console: Console, table: Table) -> None:
    """A table, in parts below each other where the width is too small for all of its columns."""
    console.print(Text(visible(table.title), style="bold"))
    draw(console, table.columns, table.rows)
