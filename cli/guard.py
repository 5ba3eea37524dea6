"""A parent that outlives a crash: native code runs in a child, and a crash there still ends in one clear line.

Called before anything heavy is imported.
"""

import contextlib
import os
import signal
import sys

from .keys import Modes, modes_of, set_modes
from .screen import in_background
from .view.terminal import surface
from .view.told import told

CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"}
CRASHED = 70
FORWARDED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
STOP = [signal.SIGTSTP] if hasattr(signal, "SIGTSTP") else []
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def guard() -> None:
    """Go on in a child process; the parent waits and exits as it did (70 when it crashed). Windows: does nothing."""
    if not hasattr(os, "fork"):
        return
    parent = os.getpid()
    modes = _terminal_modes()
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED + STOP)  # until it is known who does what about them
    child = os.fork()
    if child == 0:
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED + STOP)
        return
    for number in FORWARDED:
        signal.signal(number, lambda number, _: _forward(child, number))
    stops = [number for number in STOP if signal.getsignal(number) is signal.SIG_DFL]
    for number in stops:
        signal.signal(number, _left_to_the_child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED + STOP)
    while True:
        with contextlib.suppress(InterruptedError):
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            if stops and os.WSTOPSIG(status) != signal.SIGSTOP:
                _stop_too(child, stops)
    os._exit(_ended(status, modes))


def _left_to_the_child(*_: object) -> None:
    """Ctrl-Z tells both processes: the child stops when it has left the terminal, and this one behind it, so that no
    shell writes before."""


def _stop_too(child: int, stops: list[signal.Signals]) -> None:
    """Stop as the child did; whoever lets this process go on lets the child go on."""
    for number in stops:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, _left_to_the_child)
    _forward(child, signal.SIGCONT)


def _forward(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _die_with(parent: int) -> None:
    """A parent killed with SIGKILL takes its child along (Linux)."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _terminal_modes() -> tuple[int, Modes] | None:
    found = ((number, modes_of(number)) for number in (0, 1, 2))
    return next(((number, modes) for number, modes in found if modes is not None), None)


def _ended(status: int, modes: tuple[int, Modes] | None) -> int:
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    name = signal.Signals(number).name
    if modes is not None and not in_background(modes[0]):
        set_modes(*modes)
    if surface(sys.stdout).redraws:
        with contextlib.suppress(OSError):
            os.write(1, b"\x1b[0m\x1b[?25h\r\n\x1b[J")  # the cursor may stand in lines that were redrawn
    if name in CRASHES:
        _tell(
            f"error: llama.cpp crashed ({name})", "what was written is above; please report it, with the model's name"
        )
        return CRASHED
    if name == "SIGKILL":
        _tell("error: the process was killed, most likely for lack of memory", "use a smaller --ctx or a smaller model")
        return CRASHED
    return 128 + number


def _tell(message: str, hint: str) -> None:
    with contextlib.suppress(OSError):
        lines = (told(line, sys.stderr) for line in (message, f"hint: {hint}"))
        os.write(2, "".join(f"{line}\n" for line in lines).encode())
