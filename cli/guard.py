"""A parent that outlives a crash: native code runs in a child, and a crash there still ends in one clear line.

Called before anything heavy is imported.
"""

import contextlib
import os
import signal
import sys

from .view.terminal import surface

CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"}
CRASHED = 70
FORWARDED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def guard() -> None:
    """Go on in a child process; the parent waits and exits as it did (70 when it crashed). Windows: does nothing."""
    if not hasattr(os, "fork"):
        return
    parent = os.getpid()
    modes = _terminal_modes()
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until it is known who does what about them
    child = os.fork()
    if child == 0:
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        return
    for number in FORWARDED:
        signal.signal(number, lambda number, _: _forward(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    while True:
        with contextlib.suppress(InterruptedError):
            _, status = os.waitpid(child, 0)
            break
    os._exit(_ended(status, modes))


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


def _terminal_modes() -> tuple[int, list[object]] | None:
    with contextlib.suppress(Exception):
        import termios

        return sys.stdin.fileno(), termios.tcgetattr(sys.stdin.fileno())
    return None


def _ended(status: int, modes: tuple[int, list[object]] | None) -> int:
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    name = signal.Signals(number).name
    if modes is not None:
        import termios

        with contextlib.suppress(termios.error):
            termios.tcsetattr(modes[0], termios.TCSANOW, modes[1])  # type: ignore[arg-type]
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
        os.write(2, f"{message}\nhint: {hint}\n".encode())
