"""A chat on a pseudo-terminal, driven as a user would. Knows keys and the screen; not what a chat should say."""

import contextlib
import json
import re
import stat
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pytest

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


@pytest.fixture
def home(clean: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    """A clean environment with a state directory of its own."""
    return {**clean, "XDG_STATE_HOME": str(tmp_path / "state"), "PROMPT_TOOLKIT_NO_CPR": "1"}


@pytest.fixture
def start(script: str, home: Mapping[str, str]) -> Iterator[Start]:
    """Starts chats that greet; what is left of them is ended."""
    talks: list[Talk] = []

    def begin(*arguments: str, env: Mapping[str, str] | None = None) -> Talk:
        talks.append(Talk(script, {**home, **(env or {})}, *arguments))
        talks[-1].greeting = talks[-1].ready()
        assert "/help" in talks[-1].greeting
        return talks[-1]

    yield begin
    for talk in talks:
        talk.child.close(force=True)


@pytest.fixture
def saved(home: Mapping[str, str]) -> Callable[..., dict[str, Any]]:
    """Reads a saved session, seen only by its owner: the one given, or what the only chat of a test kept by itself."""

    def read(path: Path | None = None) -> dict[str, Any]:
        path = path or next((Path(home["XDG_STATE_HOME"]) / "speccas" / "sessions").glob("*.json"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert (document["schema"], document["type"]) == (1, "speccas-session")
        return document

    return read
