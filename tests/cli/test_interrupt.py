"""Ctrl-C, signals and crashes on a real terminal: the right exit code, the terminal as it was, and what was written."""

import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from speccas.cli.interrupt import ECHO, interruptible
from speccas.core.runtime.stop import StopFlag
from tests.builders.models import QWEN_DRAFTER, QWEN_EXPERT, TINY
from tests.builders.processes import alive

Run = Callable[..., "subprocess.CompletedProcess[str]"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
STORY = ["Tell me a long story about a ship.", "-n", "3000", "--ignore-eos"]
CONTROL = "\x03"


def listening() -> None:
    """A test run under nohup ignores SIGHUP, and so would all that it starts."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Session:
    """The script on a terminal of 24 x 80."""

    def __init__(self, script: str, arguments: list[str], env: Mapping[str, str]) -> None:
        self.child = pexpect.spawn(
            script, arguments, env=dict(env), encoding="utf-8", timeout=60, dimensions=(24, 80), preexec_fn=listening
        )
        self.modes = termios.tcgetattr(self.child.child_fd)
        self.seen = ""

    def wait_for(self, pattern: str) -> None:
        self.child.expect(pattern)
        self.seen += self.child.before + self.child.after

    def inner(self) -> int:
        """The process that does the work: the script's own child."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if found := children.read_text().split():
                return int(found[0])
        raise TimeoutError("it never forked")

    def end(self) -> int:
        """The exit code, as a shell gives it. The terminal must be as it was."""
        self.child.expect(pexpect.EOF)
        self.seen += self.child.before
        modes = termios.tcgetattr(self.child.child_fd)
        self.child.close()
        assert modes == self.modes
        assert "Traceback" not in self.seen and "Exception ignored" not in self.seen, self.seen
        assert self.seen.rfind("\x1b[?25h") >= self.seen.rfind("\x1b[?25l"), "the cursor stays hidden"
        status: int = self.child.exitstatus if self.child.signalstatus is None else 128 + self.child.signalstatus
        return status

    def screen(self) -> list[str]:
        """What a person sees, and what has scrolled away."""
        screen = pyte.HistoryScreen(80, 24, history=10_000)
        pyte.Stream(screen).feed(self.seen)
        assert not screen.cursor.hidden
        gone = ["".join(row[x].data for x in range(80)) for row in screen.history.top]
        return [line.rstrip() for line in [*gone, *screen.display]]


@pytest.fixture
def start(script: str, clean: Mapping[str, str]) -> Callable[..., Session]:
    return lambda *arguments: Session(script, list(arguments), clean)


Start = Callable[..., Session]


def packed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.slow
@pytest.mark.tiny
def test_control_c_while_it_writes(start: Start, speccas: Run) -> None:
    """What was written stays on the screen, and is what it would have been."""
    session = start("run", *STORY)
    session.wait_for(r"[3-9]\d tokens")
    session.child.send(CONTROL)
    assert session.end() == 130
    lines = session.screen()
    figures = next(i for i, line in enumerate(lines) if line.startswith("exact · "))
    written = packed("".join(lines[:figures]).replace("^C", ""))
    count = int(lines[figures].split()[2])
    assert count >= 30 and len(written) > count
    text = packed(speccas("run", STORY[0], "-n", str(count), "--ignore-eos").stdout)
    assert len(text) > count and written.endswith(text), "behind the header and the legend"


@pytest.mark.slow
@pytest.mark.tiny
def test_control_c_in_a_comparison_still_gives_the_table(start: Start) -> None:
    session = start("compare", *STORY)
    session.wait_for(r"[3-9]\d tokens")
    session.child.send(CONTROL)
    assert session.end() == 130
    table = "\n".join(session.screen()).partition("\narm ")[2]  # behind the text: its first column
    assert "tokens/s" in table and "same as expert" in table


@pytest.mark.slow
@pytest.mark.parametrize("model", ["expert", "drafter"])
def test_control_c_while_it_reads_the_prompt(start: Start, model: str) -> None:
    session = start("run", "word " * 3000, "--drafter", str(TINY), "--expert", str(TINY))
    session.wait_for(rf"reading the prompt \({model}\)")
    session.child.send(CONTROL)
    assert session.end() == 130
    assert session.seen.rstrip().endswith("error: stopped")


@pytest.mark.real
def test_control_c_while_it_loads(start: Start) -> None:
    drafter, expert = str(QWEN_DRAFTER), str(QWEN_EXPERT)
    session = start("run", "hi", "--drafter", drafter, "--expert", expert)
    session.wait_for("loading expert")
    session.child.send(CONTROL)
    assert session.end() == 130
    assert session.seen.rstrip().endswith("error: stopped while loading")


@pytest.mark.slow
@LINUX
@pytest.mark.tiny
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_control_c_at_any_time(start: Start, pause: float) -> None:
    session = start("compare", *STORY, "--json")
    session.inner()
    time.sleep(pause)
    session.child.send(CONTROL)
    assert session.end() == 130
    assert session.seen.count("error:") <= 1


@pytest.mark.slow
@pytest.mark.tiny
def test_a_second_control_c(start: Start) -> None:
    session = start("run", *STORY)
    session.wait_for(r"[1-9]\d tokens")
    session.child.send(CONTROL + CONTROL)
    session.child.send(CONTROL)
    assert session.end() == 130


@pytest.mark.slow
@pytest.mark.tiny
def test_an_interrupted_answer_in_json(script: str, clean: Mapping[str, str]) -> None:
    command = [script, "run", *STORY, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean) as run:
        time.sleep(3)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    if out:  # it had begun to write
        (arm,) = json.loads(out)["arms"]
        assert arm["finish"] == "interrupted" and arm["tokens"] > 0
    else:
        assert err.startswith(b"error: stopped") and err.count(b"\n") == 1


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_other_signals(start: Start, number: signal.Signals) -> None:
    session = start("run", *STORY)
    session.wait_for(r"[1-9]\d tokens")
    session.child.kill(number)
    assert session.end() == 128 + number


@pytest.mark.slow
@LINUX
@pytest.mark.tiny
@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL"])
def test_a_crash_of_native_code(start: Start, name: str) -> None:
    session = start("run", *STORY)
    session.wait_for(r"[3-9]\d tokens")
    os.kill(session.inner(), getattr(signal, name))
    assert session.end() == 70
    *written, error, hint = [line for line in session.screen() if line]
    assert len(packed("".join(written))) > 30
    assert error.startswith("error: ") and hint.startswith("hint: ")
    assert error.endswith("lack of memory" if name == "SIGKILL" else f"({name})")


@pytest.mark.slow
@LINUX
@pytest.mark.tiny
def test_a_killed_parent_takes_its_child_along(script: str, clean: Mapping[str, str]) -> None:
    """In a pipe: a terminal would hang up on the child anyway."""
    with subprocess.Popen([script, "run", *STORY], stdout=subprocess.PIPE, env=clean) as parent:
        assert parent.stdout is not None and parent.stdout.read(20)
        inner = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text())
        parent.kill()
        parent.wait(60)
        until = time.monotonic() + 60
        while time.monotonic() < until and alive(inner):
            time.sleep(0.05)
        assert not alive(inner)


def test_a_second_signal_later_than_an_echo_ends_the_block_at_once() -> None:
    stop, before, echoed = StopFlag(), signal.getsignal(signal.SIGINT), False
    with pytest.raises(KeyboardInterrupt), interruptible(stop):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # an echo of the first
        wait(stop)
        time.sleep(2 * ECHO)
        echoed = True
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    assert echoed and signal.getsignal(signal.SIGINT) is before and signal.set_wakeup_fd(-1) == -1


def test_sigterm_ends_the_block_with_143() -> None:
    stop, before = StopFlag(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, interruptible(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        wait(stop)
    assert end.value.code == 143 and signal.getsignal(signal.SIGTERM) is before


def wait(flag: Any) -> None:
    until = time.monotonic() + 60
    while not flag and time.monotonic() < until:
        time.sleep(0.01)
    assert flag, "no thread heard of the signal"
