"""Ctrl-Z: time in which a process is stopped is none of its figures. On a clock of ours, and in a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from speccas.cli.running import LEAST, RunningClock
from speccas.core.runtime.pair import Pair
from tests.builders.loaded import answered, asked, prefill

ROOT = Path(__file__).parents[2]
STOP = 3.0  # seconds
STOPPING = """
import os, signal, sys
from speccas.cli.app import app
from speccas.core.runtime.backends import BACKENDS
from speccas.core.decoding.table import TableModel
from tests.builders.table_backend import TableBackend

BACKENDS["table"] = TableBackend
calls, extend = [], TableModel.extend

def stopping(self, ids, rows=1):
    calls.append(rows)
    if calls.count(1) == 30:
        os.kill(os.getpid(), signal.{signal})
    return extend(self, ids, rows)

TableModel.extend = stopping
app([*sys.argv[1:], "--drafter", "table:drafter", "--expert", "table:expert", "--json"], standalone_mode=False)
"""


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time

    def ticks(self, clock: RunningClock, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.time += 0.1
            clock.tick()


@pytest.mark.parametrize("tick_first", [False, True])
def test_the_clock_stands_still_while_the_process_is_stopped(tick_first: bool) -> None:
    hand = Hand()
    clock = RunningClock(hand)
    hand.ticks(clock, 1.0)
    before = clock()
    hand.time += 5.0
    if tick_first:
        clock.tick()
    clock.resumed()
    clock.resumed()  # the thread and the signal's handler both tell
    assert clock() - before <= LEAST and clock.stopped == pytest.approx(5.0)
    hand.ticks(clock, 2.0)
    clock.resumed()  # SIGCONT without a stop
    assert clock.stopped == pytest.approx(5.0)
    assert clock() - before == pytest.approx(2.0)


def test_a_thread_that_starves_is_no_stop() -> None:
    hand = Hand()
    clock = RunningClock(hand)
    hand.time += 5.0
    hand.ticks(clock, 1.0)
    clock.resumed()
    assert clock.stopped == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no Ctrl-Z")
@pytest.mark.parametrize("command", [["run", "Tell me."], ["compare", "Tell me.", "--rule", "token"]], ids="-".join)
def test_a_stopped_process_does_not_decode(clean: Mapping[str, str], command: list[str]) -> None:
    """It stops itself in the middle of an answer that takes it milliseconds, and is told to go on 3 s later."""
    code = STOPPING.format(signal="SIGSTOP")  # SIGTSTP means nothing to a process without a shell above it
    with subprocess.Popen(
        [sys.executable, "-c", code, *command, "-k", "4"],
        cwd=ROOT,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        time.sleep(STOP)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    arms = json.loads(out)["arms"]
    assert {arm["finish"] for arm in arms} == {"end"}
    for arm in arms:
        assert arm["seconds"] < STOP, "the stop would be all of it"
        assert max(arm["ttft_ms"] / 1e3, arm["overhead_seconds"], arm["verify_seconds"]) < STOP


@pytest.mark.tiny
def test_models_and_arms_are_timed_by_the_pairs_clock(tiny: Pair) -> None:
    """Each look at this clock moves it by a second."""
    before, hand = tiny.clock, Hand()

    def clock() -> float:
        hand.time += 1.0
        return hand.time

    tiny.use_clock(clock)
    try:
        prompt = asked(tiny, "Hello.")
        tiny.clear()
        spent = tiny.expert.seconds
        prefill(tiny, prompt)
        read = tiny.expert.seconds - spent
        events = answered(tiny, prompt, "expert", 4)
    finally:
        tiny.use_clock(before)
    assert read >= 1.0 and read == int(read)
    finished = events[-1]
    assert finished.verify_seconds == 4.0, "each of four calls began and ended, a second apart"  # type: ignore[union-attr]
