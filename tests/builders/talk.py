"""A chat on a pseudo-terminal, driven as a user would. Knows keys and the screen; not what a chat should say."""

import contextlib
import re
import termios
from collections.abc import Callable, Mapping

import pexpect

PATIENCE = 60  # seconds; only against hanging
READY = "\x1b[?2004h"  # prompt_toolkit asks for bracketed paste when it is ready to read
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Talk:
    """A chat on a terminal of 24 x 100. `say` types a line and gives what the terminal showed until the next prompt."""

    def __init__(self, script: str, env: Mapping[str, str], *arguments: str) -> None:
        self.child = pexpect.spawn(
            script, ["chat", *arguments], env=dict(env), encoding="utf-8", timeout=PATIENCE, dimensions=(24, 100)
        )
        self.before = termios.tcgetattr(self.child.child_fd)
        self.env = env
        self.raw = self.greeting = ""

    def ready(self) -> str:
        self.child.expect_exact(READY)
        self.raw = self.child.before or ""
        return CODES.sub("", self.raw)

    def say(self, text: str, end: str = "\r") -> str:
        self.child.send(text + end)
        return self.ready()

    def paste(self, text: str) -> str:
        return self.say(f"\x1b[200~{text}\x1b[201~")

    def leave(self, keys: str = "\x04") -> int:
        """Leave, see that the terminal is as it was, and give the exit code."""
        self.child.send(keys)
        return self.ended()

    def ended(self, killed: bool = False) -> int:
        """`killed`: nobody was left to put the terminal's modes right but a shell, which does so."""
        self.child.expect(pexpect.EOF)
        with contextlib.suppress(OSError, termios.error):
            assert killed or termios.tcgetattr(self.child.child_fd) == self.before
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -self.child.signalstatus)


Start = Callable[..., Talk]
