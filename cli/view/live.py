"""The few lines at the bottom that are redrawn, and the settled lines above them that never are.

One write a refresh; nothing but our own escape codes. Between two drawings the cursor waits at the region's first cell:
a terminal that is resized keeps it there, whether it wraps lines anew or cuts them off, so the next drawing begins
where this one did.
"""

from collections.abc import Sequence
from typing import IO

from ..screen import SCREEN
from .flow import cells
from .terminal import size

HIDE, SHOW, CLEAR = "\x1b[?25l", "\x1b[?25h", "\x1b[J"


class Region:
    """Redrawable lines on a terminal. Use as a context manager: leaving it clears them and shows the cursor. Ctrl-Z
    does so too, and they are drawn anew behind what the shell wrote."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self._lines: Sequence[tuple[str, str]] = ()

    def __enter__(self) -> "Region":
        with SCREEN.lock:
            self._write(HIDE)
            SCREEN.show(self)
        return self

    def __exit__(self, *_: object) -> None:
        with SCREEN.lock:
            SCREEN.hide(self)
            self.leave()

    def leave(self) -> None:
        self._write("\r" + CLEAR + SHOW)

    def back(self) -> None:
        self._write(HIDE)
        if self._lines:
            self.draw("", self._lines, *size(self.file))

    def _write(self, text: str) -> None:
        self.file.write(text)
        self.file.flush()

    def draw(self, settled: str, lines: Sequence[tuple[str, str]], width: int, height: int) -> None:
        """Write `settled` (whole lines, may be empty) above, then the region anew: its first lines where it is higher
        than the screen, and always the last.

        Each line is (what to write, its plain text): the plain text tells how many cells it takes.
        """
        rows = [max(1, -(-cells(plain) // max(1, width))) for _, plain in lines]
        kept = len(lines)
        while kept > 1 and sum(rows[: kept - 1]) + rows[-1] > max(1, height - 1):
            kept -= 1
        drawn = [*lines[: kept - 1], lines[-1]]
        up = sum(rows[: kept - 1]) + rows[-1] - 1
        body = "\n".join(styled for styled, _ in drawn)
        with SCREEN.lock:
            self._lines = lines
            self._write("\r" + CLEAR + settled + body + "\r" + (f"\x1b[{up}A" if up else ""))
