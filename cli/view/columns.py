"""Several arms side by side, each in a column that grows as its events come.

Folds events; knows widths. While it runs it shows the ends of the columns; at the end it prints each line once. Code
is printed one arm after another then: broken at the width of a column nobody can read it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from speccas.core.decoding.events import Drafted, Event, Finished, Judged, Piece, Started

from .flow import Flow, Line, cells, clip
from .live import Region
from .safe import visible
from .theme import Look, shown_as
from .tokens import REFRESH, heading

NARROWEST, GAP = 32, 2  # cells of a column, and between two
FENCE = "```"  # what Markdown sets around code


def fit(count: int, width: int) -> bool:
    """Whether so many arms are readable side by side."""
    return count > 1 and (width - 1 + GAP) // count - GAP >= NARROWEST


class Column:
    """One arm's text in lines of the column's width."""

    def __init__(self, width: int) -> None:
        self.runs: Line = []  # all that was fed, for another width
        self.resize(width)
        self.pending: tuple[Piece, ...] = ()
        self.tokens = self.judged = self.accepted = 0
        self.seconds = 0.0
        self.begun = self.done = False

    @property
    def broken_code(self) -> bool:
        """Whether it holds code with a line that is longer than the column."""
        text = "".join(run for run, _ in self.runs)
        return FENCE in text and any(cells(line) > self.flow.width for line in text.splitlines())

    def resize(self, width: int) -> None:
        """Fill lines of this width, from the beginning."""
        self.flow = Flow(width)
        self.lines = [line for run in self.runs for line in self.flow.feed(*run)]

    def feed(self, text: str, status: str) -> None:
        self.runs.append((text, status))
        self.lines += self.flow.feed(text, status)

    def body(self) -> list[Line]:
        """Complete lines and the one that is not, the pending draft behind it."""
        flow = self.flow.copy()
        drafted = [line for piece in self.pending for line in flow.feed(visible(piece.text), "pending")]
        return [*self.lines, *drafted, *(flow.end() if self.done else [flow.rest()])]

    def status(self) -> str:
        """Tokens, speed and acceptance so far, as much as there is room for; of an arm whose turn has not come, that it
        waits."""
        if not self.begun:
            return "waits"
        speed = f"{self.tokens / self.seconds:.1f} tokens/s" if self.seconds else ""
        share = f"accepted {self.accepted / self.judged:.0%}" if self.judged else ""
        end = "done" if self.done else ""
        tokens = f"{self.tokens} tokens"
        for parts in ((tokens, speed, share, end), (speed or tokens, share, end), (tokens, speed, end)):
            line = " · ".join(filter(None, parts))
            if cells(line) <= self.flow.width:
                break
        return clip(line, self.flow.width)


class ColumnsView:
    """A sink for the events of all `names`, in any order. Leaving it prints the columns whole."""

    def __init__(self, look: Look, names: Sequence[str], clock: Callable[[], float], stack_code: bool = False) -> None:
        """`stack_code`: print the arms one after another at the end where columns break lines of code."""
        self.look = look
        self.stack_code = stack_code
        self.clock = clock
        self.width = 0
        self.columns = {name: Column(NARROWEST) for name in names}
        self._resize()
        self._region: Region | None = None
        self._drawn_at = float("-inf")

    def __enter__(self) -> "ColumnsView":
        if self.look.live:
            self._region = Region(self.look.console.file)
            self._region.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._region is not None:
            self._region.__exit__()
        self._resize()
        for column in self.columns.values():
            column.pending = ()
        stacked = self.stack_code and any(column.broken_code for column in self.columns.values())
        for line in self.stacked() if stacked else (row[0] for row in self.rows(None)):
            self.look.console.file.write(line + "\n")
        self.look.console.file.flush()

    def stacked(self) -> Iterator[str]:
        """Every arm whole at the full width, one after another."""
        width = self.look.console.width
        for name, column in self.columns.items():
            flow = Flow(width)
            body = [line for run in column.runs for line in flow.feed(*run)]
            for line in ([], [(heading(name, width), "heading")], *body, *flow.end(), [(column.status(), "quiet")]):
                yield "".join(self.look.ansi(text, status) for text, status in line)

    def _resize(self) -> None:
        """Fit the columns in the terminal as it is now; its last cell stays free: some terminals wrap on it."""
        width = max(4, (self.look.console.width - 1 + GAP) // len(self.columns) - GAP)
        if width != self.width:
            self.width = width
            for column in self.columns.values():
                column.resize(width)

    def __call__(self, event: Event) -> None:
        column = self.columns[event.arm]
        column.begun = True
        if isinstance(event, Drafted):
            column.pending = event.pieces
        elif isinstance(event, Judged):
            column.pending = ()
            column.tokens += len(event.tokens)
            column.accepted += sum(token.status in ("agreed", "kept") for token in event.tokens)
            column.judged += sum(token.status in ("agreed", "kept", "deferred") for token in event.tokens)
            column.seconds = event.t_ms / 1e3
            for token in event.tokens:
                for run in self.look.runs(visible(token.text), shown_as(event, token)):
                    column.feed(*run)
        elif isinstance(event, Finished):
            column.feed(visible(event.tail), "")
            column.pending = ()
            column.done = True
        if self._region is not None and (
            isinstance(event, Started | Finished) or self.clock() - self._drawn_at >= REFRESH
        ):
            self._drawn_at = self.clock()
            self._resize()
            width, height = self.look.console.size
            self._region.draw("", list(self.rows(max(1, height - 4))), width, height)

    def rows(self, most: int | None) -> Iterator[tuple[str, str]]:
        """Rows across all columns, the last `most` of the text; each as (to write, plain)."""
        yield self.row([[(heading(name, self.width), "heading")] for name in self.columns])
        bodies = [column.body()[-(most or 0) :] for column in self.columns.values()]
        for lines in zip_longest(*bodies, fillvalue=()):
            yield self.row([list(line) for line in lines])
        yield self.row([[(column.status(), "quiet")] for column in self.columns.values()])

    def row(self, lines: Sequence[Line]) -> tuple[str, str]:
        styled, plain = [], []
        for i, line in enumerate(lines):
            text = "".join(run for run, _ in line)
            pad = " " * (self.width - cells(text) + GAP) if i + 1 < len(lines) else ""
            styled.append("".join(self.look.ansi(run, status) for run, status in line) + pad)
            plain.append(text + pad)
        return "".join(styled), "".join(plain)
