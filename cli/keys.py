"""The keyboard of a terminal while something is written there: what is typed is not echoed into it, and waits."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Self

from .screen import SCREEN, in_background
from .view.terminal import is_terminal

Modes = list[Any]
"""As termios gives them: iflag, oflag, cflag, lflag, two speeds, control characters."""


class Unechoed:
    """Use as a context manager: within it the terminal of a file descriptor echoes nothing. What is typed is kept by
    the system: lines for whoever reads next, the shell too; with `lines` False every key at once, for a reader of ours.
    Nothing happens where there is no terminal, or another job has it."""

    def __init__(self, number: int, lines: bool = True) -> None:
        self.number = number
        self.lines = lines
        self._before: Modes | None = None
        self._left: Modes = []

    @property
    def here(self) -> bool:
        """Whether there is a terminal that is ours, and it echoes nothing."""
        return self._before is not None

    def __enter__(self) -> Self:
        modes = modes_of(self.number)
        if modes is not None and not in_background(self.number) and (wanted := quiet(modes, self.lines)) != modes:
            self._before = modes
            set_modes(self.number, wanted)
            SCREEN.show(self)
        return self

    def __exit__(self, *_: object) -> None:
        SCREEN.hide(self)
        if self._before is not None:
            set_modes(self.number, self._before)

    def leave(self) -> None:
        self._left = modes_of(self.number) or []
        if self._before is not None:
            set_modes(self.number, self._before)

    def back(self) -> None:
        if self._left:
            set_modes(self.number, self._left)


@contextlib.contextmanager
def unechoed() -> Iterator[None]:
    """Nothing that is typed is echoed into what we write, where that is a terminal."""
    number = next((i for i, stream in ((1, sys.stdout), (2, sys.stderr)) if is_terminal(stream)), None)
    if number is None:
        yield
    else:
        with Unechoed(number):
            yield


def quiet(modes: Modes, lines: bool) -> Modes:
    """The same modes without echo. Ctrl-C and Ctrl-Z stay signals; where keys are read at once, they throw nothing away
    that was typed before."""
    import termios

    local = modes[3] & ~termios.ECHO
    control = list(modes[6])
    if not lines:
        local = (local & ~(termios.ICANON | termios.IEXTEN)) | termios.NOFLSH
        control[termios.VMIN], control[termios.VTIME] = 1, 0
    return [*modes[:3], local, *modes[4:6], control]


def modes_of(number: int) -> Modes | None:
    """None where it is no terminal, or on a system that has no such modes."""
    try:
        import termios
    except ImportError:  # Windows
        return None
    try:
        return termios.tcgetattr(number)
    except termios.error:  # which is no OSError
        return None


def set_modes(number: int, modes: Modes) -> None:
    """At once: what was typed or is still to be written is not thrown away, nor waited for."""
    import termios

    with contextlib.suppress(termios.error):
        termios.tcsetattr(number, termios.TCSANOW, modes)
