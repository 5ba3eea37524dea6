"""Ctrl-Z under a shell: what is redrawn leaves the terminal, which is the shell's as it was; `fg` draws it anew."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from tests.builders.jobs import CTRL_C, CTRL_D, CTRL_Z, HIDDEN, PAIR, READY, ROOT, Jobs

TRACE = str(ROOT / "docs" / "cascade.jsonl")


@pytest.fixture
def jobs(clean: Mapping[str, str], tmp_path: Path) -> Iterator[Jobs]:
    state = {"XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PROMPT_TOOLKIT_NO_CPR": "1"}
    found = Jobs({**clean, **state}, 0.04)
    yield found
    found.child.close(force=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "sign"),
    [(f"replay {TRACE} --speed 0.2", "tokens/s"), (f"replay {TRACE} --speed 0.2 --view rounds", "tokens/s"),
     (f"run 'Tell me.' {PAIR} -k 4", "tokens ·"), (f"compare 'Tell me.' {PAIR} -k 4", "tokens ·")],
    ids=lambda each: each.partition(" --")[0][:9],
)  # fmt: skip
def test_a_live_view(jobs: Jobs, command: str, sign: str) -> None:
    """The status line is not left on the shell's screen, and comes back; what it writes in the end is whole."""
    jobs.type(f"job {command}\r")
    jobs.wait_for(HIDDEN)
    jobs.wait_for(sign)
    jobs.type("typed" + CTRL_Z)
    assert jobs.back() == "stopped, sane"
    lines = [line for line in jobs.screen() if line]
    assert not any("▁" in line or "drafting" in line or "checking" in line for line in lines), lines
    assert not any("typed" in line for line in lines[:-1]), "it was echoed into the answer"
    jobs.type("\x15fg\r")  # what was typed is the shell's now
    jobs.wait_for(HIDDEN)
    jobs.wait_for(sign)
    if "replay" in command:  # which would go on for minutes
        jobs.type(CTRL_C)
    assert jobs.back() == f"ended with {130 if 'replay' in command else 0}, sane"


@pytest.mark.slow
def test_an_answer_is_whole_behind_a_stop(jobs: Jobs) -> None:
    jobs.type(f"job run 'Tell me.' {PAIR} -k 4\r")
    jobs.wait_for("tokens ·")
    jobs.type(CTRL_Z)
    assert jobs.back() == "stopped, sane"
    jobs.type("fg\r")
    assert jobs.back() == "ended with 0, sane"
    assert "The sea is wide. The sea is deep, and the sea is blue." in " ".join(" ".join(jobs.screen()).split())


@pytest.mark.slow
def test_in_a_chat(jobs: Jobs) -> None:
    """At the prompt, where what was typed comes back, and in an answer."""
    jobs.type(f"job chat {PAIR} -k 4\r")
    jobs.wait_for(READY)
    jobs.type("half a message")
    jobs.wait_for("half a message")
    jobs.type(CTRL_Z)
    assert jobs.back() == "stopped, sane"
    jobs.type("fg\r")
    jobs.wait_for("half a message")
    jobs.type("\r")
    jobs.wait_for("tokens ·")
    jobs.type(CTRL_Z)
    assert jobs.back() == "stopped, sane"
    jobs.type("fg\r")
    jobs.wait_for(READY)
    jobs.type(CTRL_D)
    assert jobs.back() == "ended with 0, sane"
    assert "and the sea is blue." in " ".join(" ".join(jobs.screen()).split())


@pytest.mark.slow
def test_nobody_could_let_it_go_on(script: str, clean: Mapping[str, str]) -> None:
    """Without a shell above it (in a container, say) Ctrl-Z stops nothing."""
    child = pexpect.spawn(script, ["replay", TRACE, "--speed", "4"], env=dict(clean), timeout=60, dimensions=(24, 80))
    child.expect_exact(HIDDEN)
    child.send(CTRL_Z)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.slow
def test_a_job_in_the_background_goes_on(clean: Mapping[str, str]) -> None:
    """It draws nothing, so nothing keeps it from going on where it is."""
    with subprocess.Popen(
        [sys.executable, "-c", BACKGROUND], env=dict(clean), cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stdout.read(5) == b"began"
        process.send_signal(signal.SIGTSTP)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) == 0


BACKGROUND = """
import sys, time
from speccas.cli.interrupt import interruptible
from speccas.core.runtime.stop import StopFlag

stop = StopFlag()
with interruptible(stop):
    print("began", end="", flush=True)
    time.sleep(1)
sys.exit(1 if stop else 0)
"""
