"""`speccas replay`: a recorded run says what the run said, mark for mark, in a pipe and on a terminal that is resized.

The real commands in real processes; only the first test runs a model.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from speccas.core.record.trace import read_trace

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PATIENCE = 60  # seconds; only against hanging
SHOW = "\x1b[?25h"


@pytest.fixture
def on_screen(script: str, clean: Mapping[str, str]) -> Callable[..., tuple[str, list[list[Any]]]]:
    """Runs the script on a terminal; every character, and every cell that is left on screen and in its scrollback."""

    def run(*arguments: str, width: int) -> tuple[str, list[list[Any]]]:
        child = pexpect.spawn(
            script, list(arguments), env=dict(clean), encoding="utf-8", timeout=PATIENCE, dimensions=(24, width)
        )
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, child.before
        screen = pyte.HistoryScreen(width, 24, history=5000)
        pyte.Stream(screen).feed(child.before)
        rows = [*screen.history.top, *(screen.buffer[y] for y in range(24))]
        return child.before, [[tuple(row[x]) for x in range(width)] for row in rows]

    return run


def text_of(rows: list[list[Any]]) -> list[str]:
    lines = ["".join(cell[0] for cell in row).rstrip() for row in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def below_the_legend(rows: list[list[Any]]) -> list[list[Any]]:
    """From the first arm on: a legend explains a waiting draft only where one is seen."""
    return rows[next(i for i, line in enumerate(text_of(rows)) if line.startswith("── ")) :]


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("width", [80, 140])
def test_a_replay_is_the_run(speccas: Run, on_screen: Any, tmp_path: Path, width: int) -> None:
    """In a pipe byte for byte; on a terminal (arms in columns at 140) cell for cell, live or not."""
    path = str(tmp_path / "t.jsonl")
    ask = ("compare", "Name three colours.", "--rule", "token", "-n", "12", "-k", "4")
    compared = speccas(*ask, "--trace", path, "--no-live", env={"COLUMNS": str(width)})
    replayed = speccas("replay", path, "--no-live", env={"COLUMNS": str(width)})
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert compared.stdout.startswith(replayed.stdout)
    verdict, table = compared.stdout[len(replayed.stdout) :].split("\narm ", 1)
    assert verdict.startswith("\n`exact`: ") and "tokens/call" in table
    _, live = on_screen(*ask, "--trace", path, "--force", width=width)
    raw, plain = on_screen("replay", path, "--no-live", width=width)
    _, again = on_screen("replay", path, "--speed", "100", width=width)
    assert "\x1b[J" not in raw and "\x1b[?25" not in raw, "nothing is redrawn"
    live, plain, again = map(below_the_legend, (live, plain, again))
    end = len(text_of(plain))
    assert live[:end] == again[:end] == plain[:end]
    assert text_of(plain) == text_of(again)


def test_why_and_views_from_the_trace_alone(speccas: Run, trace: Path) -> None:
    done = speccas("replay", str(trace), "--why", "5")
    assert done.returncode == 0 and done.stdout.count("token 5 “") == 4
    assert "the expert's first choices" in done.stdout and "max p" in done.stdout
    rounds = speccas("replay", str(trace), "--view", "rounds", "--no-live", env={"COLUMNS": "200"}).stdout
    arms = read_trace(trace)
    assert len(re.findall(r"(?m)^ +\d+  ", rounds)) == sum(len(arm.rounds) for arm in arms)
    assert speccas("replay", str(trace), "--view", "off").stdout == ""


@pytest.mark.slow
def test_two_traces_side_by_side(speccas: Run, trace: Path) -> None:
    done = speccas("replay", str(trace), str(trace), "--side-by-side", "--no-live", env={"COLUMNS": "400"})
    heading = next(line for line in done.stdout.splitlines() if "── exact" in line)
    assert "── exact (2) ─" in heading and heading.index("── exact (2)") > heading.index("── exact ")
    assert done.stdout.count("· done") == 8
    narrow = speccas("replay", str(trace), "--side-by-side", env={"COLUMNS": "80"})
    assert narrow.returncode == 0, "they are shown all the same"
    assert narrow.stderr == "note: 4 arms do not fit side by side in 80 columns: one after another\n"
    assert narrow.stdout == speccas("replay", str(trace), "--stacked", env={"COLUMNS": "80"}).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.jsonl"], 2, "cannot read none.jsonl"),
        (["T", "--view", "x"], 2, "there is no view 'x'"),
        (["T", "--why", "99"], 2, "there is no token 99"),
        (["T", "--speed", "0"], 2, "speed"),
        (["T", "--export", "x.pdf"], 2, "cannot export to x.pdf"),
        (["T", "--export", "none/x.svg"], 2, "cannot write"),
        (["pyproject.toml"], 5, "pyproject.toml, line 1: this is no trace"),
    ],
)
def test_mistakes(speccas: Run, trace: Path, arguments: list[str], code: int, message: str) -> None:
    done = speccas("replay", *(str(trace) if each == "T" else each for each in arguments))
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("width", [80, 140])
def test_stopped(script: str, clean: Mapping[str, str], trace: Path, number: int, width: int) -> None:
    child = pexpect.spawn(
        script, ["replay", str(trace), "--speed", "0.5"], env=dict(clean), encoding="utf-8", timeout=PATIENCE,
        dimensions=(24, width),
    )  # fmt: skip
    before = termios.tcgetattr(child.child_fd)
    child.expect("[1-9] tokens/s ·")
    if number == signal.SIGINT:
        child.send("\x03")
    else:
        child.kill(number)
    child.expect(pexpect.EOF)
    with contextlib.suppress(OSError, termios.error):
        assert termios.tcgetattr(child.child_fd) == before
    child.close()
    assert child.exitstatus == 128 + number
    assert SHOW in child.before


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_resized_in_a_terminal_that_wraps_lines_anew(script: str, clean: Mapping[str, str], trace: Path) -> None:
    """tmux wraps what is on its screen again when it is resized; the emulator of the other tests cuts it off."""
    words = [f"── {arm.started.arm} " + (arm.finished or {})["text"] for arm in read_trace(trace)]
    expected = "".join("".join(words).split()).replace("─", "")
    name = f"speccas-{time.monotonic_ns()}"

    def tmux(*arguments: str) -> str:
        command = ["tmux", "-L", name, "-f", "/dev/null", *arguments]
        return subprocess.run(
            command, env=dict(clean), capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout

    def shown() -> str:
        text = "".join(tmux("capture-pane", "-p", "-J", "-S", "-").split())
        for mark in "─‹›[]+~":
            text = text.replace(mark, "")
        return text

    tmux(
        "new-session", "-d", "-x", "80", "-y", "24", f"{script} replay {trace} --speed 1.5; echo ended; exec sleep 100"
    )
    try:
        began = time.monotonic()
        for size in [(50, 24), (90, 30), (36, 20), (70, 12), (44, 12)] * 20:
            time.sleep(0.4)
            if "ended" in shown():
                break
            tmux("resize-window", "-x", str(size[0]), "-y", str(size[1]))
        while "ended" not in shown():
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.2)
        text = shown()
        assert text[text.index("expert" + expected[6:20]) :] == expected + "ended"
    finally:
        tmux("kill-server")
