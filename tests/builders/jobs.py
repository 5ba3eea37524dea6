"""A shell with job control in which speccas is a job, driven as a person would: keys, and what is on the screen."""

import re
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
