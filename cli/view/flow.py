"""Styled text into lines of a width, word by word as it arrives."""

from collections.abc import Iterator
from textwrap import wrap

from rich.cells import cell_len


def cells(text: str) -> int:
    """Cells of a text, each character by itself: that is how a line is filled, and how most terminals count."""
    return len(text) if text.isascii() else sum(map(cell_len, text))


def clip(text: str, width: int) -> str:
    """The beginning of a text that fits."""
    while cells(text) > width:
        text = text[:-1] if len(text) <= width else text[:width]
    return text


def hanging(label: str, text: str, width: int | None) -> list[str]:
    """A label and its text; further lines begin below the text. A word longer than a line stays whole: a path is to be
    copied. `width` None: one line."""
    room = None if width is None else width - cells(label)
    lines = wrap(text, room, break_long_words=False, break_on_hyphens=False) if room and room > 0 else []
    return [label + (lines[0] if lines else text), *(" " * cells(label) + line for line in lines[1:])]


Line = list[tuple[str, str]]
"""Runs of (text, status)."""


def broken(line: Line, width: int, indent: int) -> Iterator[Line]:
    """A line in as many as it needs; the further ones are indented, where that leaves half of the width."""
    flow, behind = Flow(width), [(" " * indent, "")] * (2 * indent < width)
    first = True
    for text, status in line:
        for character in text:
            done = [*flow.feed(character, status)]
            if done and first:
                first = False
                yield done.pop(0)
                done += flow.resize(width - indent * len(behind))
            yield from ([*behind, *each] for each in done)
    for each in flow.end():
        yield each if first else [*behind, *each]


class Flow:
    """Feed it text; it gives out each line when it can no longer change. `rest` is the line that still can."""

    def __init__(self, width: int) -> None:
        self.width = max(2, width)
        self._cells: list[tuple[str, str, int]] = []  # character, status, cells
        self._used = 0
        self._space = -1  # index of the last blank in the line: where it may be broken

    def feed(self, text: str, status: str) -> Iterator[Line]:
        """Lines that are complete with this text."""
        for character in text:
            if character == "\n":
                yield self._take(len(self._cells))
                continue
            taken = cell_len(character)
            if self._used + taken > self.width:
                if character == " ":  # a blank at the edge is the break
                    yield self._take(len(self._cells))
                    continue
                yield self._take(self._space + 1 if self._space >= 0 else len(self._cells))
            if character == " ":
                self._space = len(self._cells)
            self._cells.append((character, status, taken))
            self._used += taken

    def rest(self) -> Line:
        """The line that is not complete yet."""
        return _runs(self._cells)

    def end(self) -> Iterator[Line]:
        """The last line, where there is one."""
        if self._cells:
            yield self._take(len(self._cells))

    def copy(self) -> "Flow":
        """The same state, for text that may not stay."""
        twin = Flow(self.width)
        twin._cells, twin._used, twin._space = list(self._cells), self._used, self._space
        return twin

    def resize(self, width: int) -> Iterator[Line]:
        """Go on in another width; lines that the text so far fills in it."""
        rest = self.rest()
        self.width, self._cells, self._used, self._space = max(2, width), [], 0, -1
        for text, status in rest:
            yield from self.feed(text, status)

    def _take(self, count: int) -> Line:
        line, self._cells = self._cells[:count], self._cells[count:]
        self._used = sum(cells for _, _, cells in self._cells)
        self._space = max((i for i, (c, _, _) in enumerate(self._cells) if c == " "), default=-1)
        while line and line[-1][0] == " ":
            line.pop()
        return _runs(line)


def _runs(cells: list[tuple[str, str, int]]) -> Line:
    runs: Line = []
    for character, status, _ in cells:
        if runs and runs[-1][1] == status:
            runs[-1] = (runs[-1][0] + character, status)
        else:
            runs.append((character, status))
    return runs
