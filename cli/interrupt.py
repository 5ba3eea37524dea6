"""Ctrl-C while native code runs. A Python signal handler runs only after llama_decode returns, so the signal's number
goes through a pipe to a thread that sets the stop flag.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    def set(self) -> None: ...


ECHO = 0.3  # seconds: one Ctrl-C reaches us from the terminal and once more from the guarding parent


@contextlib.contextmanager
def interruptible(flag: Stoppable) -> Iterator[None]:
    """SIGINT sets the flag; a second one, later than an echo, raises KeyboardInterrupt. SIGTERM sets the flag and makes
    the block end with SystemExit(143)."""
    last = [0.0]
    terminated = [False]

    def handle(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        before, last[0] = last[0], now
        if number == signal.SIGTERM:
            terminated[0] = True
        elif before and now - before > ECHO:  # its own echo finds the time set, and lets the tidying go on
            raise KeyboardInterrupt

    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while os.read(reader, 1):
            flag.set()

    thread = threading.Thread(target=watch, name="interrupt", daemon=True)
    handlers = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join(1)
        os.close(reader)
    if terminated[0]:
        raise SystemExit(143)
