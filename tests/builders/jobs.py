"""A shell with job control in which speccas is a job, driven as a person would: keys, and what is on the screen."""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pyte

from tests.builders.job_shell import PROMPT

ROOT = Path(__file__).parents[2]
PAIR = "--drafter table:drafter --expert table:expert"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
READY = "\x1b[?2004h"  # prompt_toolkit asks for bracketed paste when it is ready to read
CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"
WRITING = "tokens ·"  # in the status line of an answer
ARGUMENTS = ("-k", "4", "--lookup", "off", "--ctx", "4096", "--temperature", "0")
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Jobs:
    """A shell with job control on a terminal of 24 x 80, in which `job` is the command line of speccas."""

    def __init__(self, env: Mapping[str, str], pause: float) -> None:
        self.child = pexpect.spawn(
            sys.executable, ["-m", "tests.builders.job_shell", str(pause)], env=dict(env), cwd=str(ROOT),
            encoding="utf-8", timeout=60, dimensions=(24, 80),
        )  # fmt: skip
        self.child.delaybeforesend = None
        self.seen = ""
        self.wait_for(PROMPT)

    def wait_for(self, text: str) -> str:
        """What came until then."""
        self.child.expect_exact(text)
        self.seen += self.child.before + self.child.after
        return str(self.child.before)

    def settle(self, seconds: float = 0.2) -> None:
        """Until nothing more comes: a prompt may be drawn more than once."""
        while self.child.expect_exact([READY, pexpect.TIMEOUT], timeout=seconds) == 0:
            self.seen += self.child.before + self.child.after

    def type(self, text: str) -> None:
        self.child.send(text)

    def back(self) -> str:
        """What the shell says of the job that stopped or ended."""
        before = self.wait_for(PROMPT)
        assert "Traceback" not in before and "Exception" not in before, before
        found = re.findall(r"\[((?:stopped|ended)[^\]]*(?:\][^\]]*)*)\]\r\n$", before)
        assert found, before
        assert self.seen.rfind(SHOWN) >= self.seen.rfind(HIDDEN), "the cursor stays hidden"
        return str(found[-1])

    def screen(self) -> list[str]:
        """What stands on the terminal, and what has scrolled away."""
        screen = pyte.HistoryScreen(80, 24, history=10_000)
        pyte.Stream(screen).feed(self.seen)
        gone = ["".join(row[x].data for x in range(80)) for row in screen.history.top]
        return [line.rstrip() for line in [*gone, *screen.display]]


class TableChat:
    """A chat of table models as a job of this shell. `say` types a line and gives what the terminal showed until the
    next prompt; `leave` gives what the shell says of the end."""

    def __init__(self, jobs: Jobs, state: Path, *arguments: str) -> None:
        self.jobs = jobs
        self.state = state
        jobs.type(
            shlex.join(["job", f"XDG_STATE_HOME={state}", *arguments, "chat", *shlex.split(PAIR), *ARGUMENTS]) + "\r"
        )
        self.greeting = self.ready()

    def ready(self) -> str:
        return CODES.sub("", self.jobs.wait_for(READY))

    def say(self, text: str, end: str = "\r") -> str:
        self.jobs.type(text + end)
        return self.ready()

    def paste(self, text: str) -> str:
        return self.say(f"\x1b[200~{text}\x1b[201~")

    def ask(self, text: str = "Tell me of the sea.") -> None:
        """Until the answer is being written."""
        self.jobs.type(text + "\r")
        self.jobs.wait_for(WRITING)

    def leave(self, keys: str = CTRL_D) -> str:
        self.jobs.type(keys)
        return self.jobs.back()


def sent(state: Path) -> list[str]:
    """The messages of the only chat that was kept in this state directory."""
    (path,) = (state / "speccas" / "sessions").glob("*.json")
    return [turn["user"] for turn in json.loads(path.read_text(encoding="utf-8"))["turns"]]
