"""Entry point of the console script: a Ctrl-C is quiet from the first import on."""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Run `speccas`; see app.py."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where it is ignored: a job in the background
        signal.signal(signal.SIGINT, leave)
    try:
        from .app import main as run

        signal.signal(signal.SIGINT, once if before is signal.default_int_handler else before)
        run()
    except KeyboardInterrupt:
        say()
        sys.exit(130)


def leave(*_: object) -> None:
    """While modules load an exception may strike where Python can only print it, so nothing is raised."""
    say()
    os._exit(130)


def once(number: int, frame: object) -> None:
    """The first SIGINT ends what is done; its echo from the guarding parent must not cut the tidying short."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def say() -> None:
    with contextlib.suppress(OSError):  # stderr is closed, or its disk is full
        os.write(2, b"error: interrupted\n")
