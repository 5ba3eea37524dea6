"""Ctrl-C and Ctrl-Z while native code runs. A Python signal handler runs only after llama_decode returns, so the
signal's number goes through a pipe to a thread: it sets the stop flag, stops the process for Ctrl-Z once what is
redrawn has left the terminal, or says that a stopped process goes on.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

from speccas.core.errors import Stopped

from .keys import unechoed
from .running import RUNNING, TICK
from .screen import SCREEN, STOP, can_stop


class Stoppable(Protocol):
    def set(self) -> None: ...


GOES_ON = getattr(signal, "SIGCONT", None)
"""Told behind a stop by Ctrl-Z; None where there is no such thing."""
ECHO = 0.3  # seconds: one Ctrl-C reaches us from the terminal and once more from the guarding parent


@contextlib.contextmanager
def interruptible(flag: Stoppable) -> Iterator[None]:
    """SIGINT sets the flag; a second one, later than an echo, raises KeyboardInterrupt. SIGTERM sets the flag and makes
    the block end with SystemExit(143). Time in which the process is stopped is none of the running clock's. What is
    typed meanwhile is not echoed."""
    last = [0.0]
    terminated = [False]

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == GOES_ON:
            RUNNING.resumed()
        if number in (GOES_ON, STOP):
            return
        now = time.monotonic()
        before, last[0] = last[0], now
        if number == signal.SIGTERM:
            terminated[0] = True
        elif before and now - before > ECHO:  # its own echo finds the time set, and lets the tidying go on
            raise KeyboardInterrupt

    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    thread = threading.Thread(target=_watch, args=(reader, flag), name="interrupt", daemon=True)
    stops = can_stop() and signal.getsignal(STOP) is not signal.SIG_IGN
    numbers = (signal.SIGINT, signal.SIGTERM, *([GOES_ON] if GOES_ON else []), *([STOP] if stops else []))
    RUNNING.start()
    handlers = {number: signal.signal(number, handle) for number in numbers}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        with unechoed():
            yield
    except Stopped:  # a run that could not say how far it had come
        if terminated[0]:
            raise SystemExit(143) from None
        raise
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()  # it may be stopping the process just now
        os.close(reader)
    if terminated[0]:
        raise SystemExit(143)


def _watch(reader: int, flag: Stoppable) -> None:
    """Do what the signals ask whose numbers come through the pipe, until its other end is closed."""
    while True:
        told = select.select([reader], [], [], TICK)[0] if GOES_ON else [reader]
        RUNNING.tick()
        number = os.read(reader, 1) if told else None
        if number == b"":
            return
        if number == bytes([GOES_ON or 0]):
            RUNNING.resumed()
        elif number == bytes([STOP or 0]):
            SCREEN.suspend()
        elif number:
            flag.set()
