"""Ctrl-Z: what is drawn leaves the terminal before the process stops, and is drawn anew when it goes on.

The thread that stops is none that draws: the main one may be in native code for seconds (interrupt.py), or in the
middle of a line. Imports nothing heavy.
"""

import contextlib
import os
import signal
import threading
from typing import Any, Protocol

from .streams import StdoutFailed

STOP: Any = getattr(signal, "SIGTSTP", None)
"""What Ctrl-Z sends; None where there is no such thing."""
MOST = 100  # stops in a row of a job that is let go on in the background


class Drawn(Protocol):
    """Something that is not to be on the terminal while a shell has it."""

    def leave(self) -> None:
        """Take it away: the terminal is as it was before."""

    def back(self) -> None:
        """The same again, wherever the cursor is now."""


class Screen:
    """What is on the terminal just now. Whoever draws holds `lock` while it does."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._shown: list[Drawn] = []

    def show(self, drawn: Drawn) -> None:
        """From now on it is there."""
        with self.lock:
            self._shown.append(drawn)
            free = can_stop() and signal.getsignal(STOP) is signal.SIG_DFL
            if free and threading.current_thread() is threading.main_thread():
                signal.signal(STOP, self._asked)

    def hide(self, drawn: Drawn) -> None:
        """It has gone; nothing happens where it was not there."""
        with self.lock:
            self._shown = [each for each in self._shown if each is not drawn]
            ours = STOP is not None and not self._shown and signal.getsignal(STOP) == self._asked
            if ours and threading.current_thread() is threading.main_thread():
                signal.signal(STOP, signal.SIG_DFL)

    def _asked(self, *_: object) -> None:
        threading.Thread(target=self.suspend, name="suspend", daemon=True).start()

    def suspend(self) -> None:
        """Leave the terminal, stop, and draw all anew once somebody lets the process go on in the foreground."""
        with self.lock:
            for each in reversed(self._shown):
                with contextlib.suppress(OSError, StdoutFailed):
                    each.leave()
            for _ in range(MOST):
                stop()
                if not (self._shown and in_background()):
                    break
            for each in self._shown:
                with contextlib.suppress(OSError, StdoutFailed):
                    each.back()


SCREEN = Screen()
"""What this process has drawn."""


def can_stop() -> bool:
    """Whether this process is one that Ctrl-Z may stop."""
    return STOP is not None and signal.getsignal(signal.SIGTTOU) is signal.SIG_DFL


def stop() -> None:
    """Stop here until somebody lets the process go on. SIGTTOU stops as SIGTSTP does, whatever handles that one, and
    not at all where no shell could let us go on; sent to this thread, so that it does nothing more before."""
    signal.pthread_kill(threading.get_ident(), signal.SIGTTOU)


def stop_group() -> None:
    """As a terminal does for Ctrl-Z: all processes of the job are told, and this one stops. In the main thread only."""
    if not can_stop():
        return
    before = signal.signal(STOP, signal.SIG_IGN)
    os.kill(0, STOP)
    signal.signal(STOP, before)
    SCREEN.suspend()


def in_background(number: int | None = None) -> bool:
    """Whether another job has the terminal: the one with this number, or the one we write to."""
    for each in (1, 2, 0) if number is None else (number,):
        with contextlib.suppress(OSError):
            return os.isatty(each) and os.tcgetpgrp(each) != os.getpgrp()
    return False
