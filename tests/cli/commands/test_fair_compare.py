"""`speccas compare` on machines that change while it runs: simulated, on a clock of ours, and one that is really busy.

Tables write the texts; what a call costs is a function of the time.
"""

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from speccas.cli.app import app
from speccas.cli.running import RUNNING
from speccas.cli.view.tables import show_arms
from speccas.core.decoding.table import VirtualClock
from speccas.core.errors import Stopped
from speccas.core.record.comparison import Comparison
from speccas.core.record.metrics import Figures
from speccas.core.runtime.backends import BACKENDS
from speccas.core.runtime.stop import StopFlag
from tests.builders.table_backend import TEXT, TableBackend

Slower = Callable[[float], float]
Compare = Callable[..., str]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
PAIR = ("--drafter", "table:drafter", "--expert", "table:expert", "-k", "4")
TOKENS = len(TEXT) + 1
ROWS = 0.02  # of a call of one token, what each further one costs
STEP = 0.02  # of a call of the expert, what a step of the drafter costs


@pytest.fixture
def machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[Slower], Compare]:
    """A machine that is so many times slower at a second; gives what `compare` prints on it."""

    def made(slower: Slower) -> Compare:
        clock = VirtualClock()
        costs = {
            "expert": lambda n: 0.01 * slower(clock.seconds) * (1 + ROWS * (n - 1)),
            "drafter": lambda n: 0.01 * STEP * slower(clock.seconds),
        }
        monkeypatch.setitem(BACKENDS, "table", lambda: TableBackend(costs, clock))
        monkeypatch.setattr(RUNNING, "now", clock)
        monkeypatch.setattr("sys.stdin", None)
        for name in ("CONFIG", "CACHE", "STATE"):
            monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path))
        monkeypatch.setenv("COLUMNS", "200")

        def compare(*arguments: str) -> str:
            clock.seconds = 0.0
            app(["compare", "Tell me of it.", *PAIR, *arguments], standalone_mode=False)
            return capsys.readouterr().out

        return compare

    return made


def arms_of(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {arm["name"]: arm for arm in document["arms"]}


def steady(_: float) -> float:
    return 1.0


def test_a_steady_machine(machine: Callable[[Slower], Compare]) -> None:
    """The speed-up is what the costs say, to two places, and the verdict names it; the expert's second run is no row
    of its own, and what it wrote was seen once."""
    compare = machine(steady)
    document = json.loads(compare("--json"))
    assert document["drift"] == pytest.approx(1.0)
    exact = arms_of(document)["exact"]
    assert exact["speedup_low"] == pytest.approx(exact["speedup"]) == pytest.approx(exact["speedup_high"])
    spent = exact["expert_calls"] + exact["drafted"] * ROWS + exact["drafter_steps"] * STEP
    assert exact["speedup"] == pytest.approx(TOKENS / spent)
    text = compare()
    table = text[text.index("\narm  ") :].splitlines()
    assert [line.split()[0] for line in table[2:6]] == ["expert", "exact", "token", "confidence"]
    assert text.count("── expert ") == 1
    verdict = next(line for line in text.splitlines() if line.startswith("`exact`"))
    assert verdict.startswith(f"`exact`: the expert's own text, {exact['speedup']:.2f}x, {TOKENS} tokens in ")
    assert "exact (best)" in text and "behind the arms" not in text


def test_drift_is_named_and_makes_figures_rough(machine: Callable[[Slower], Compare]) -> None:
    """Twice as slow behind the arms as before them: the expert of the time of each arm lies between."""
    compare = machine(lambda seconds: 1 + seconds / 2.5)
    document = json.loads(compare("--json", "--rule", "token"))
    assert document["drift"] > 1.3
    exact = arms_of(document)["exact"]
    assert exact["speedup_low"] < exact["speedup"] < exact["speedup_high"]
    still = arms_of(json.loads(machine(steady)("--json", "--rule", "token")))["exact"]["speedup"]
    assert exact["speedup_low"] < still < exact["speedup_high"], "what it would be on a machine that does not change"
    text = machine(lambda seconds: 1 + seconds / 2.5)("--rule", "token", "-q")
    assert "longer behind the arms than before them" in text
    row = next(line for line in text.splitlines() if line.startswith("exact"))
    assert f"{exact['speedup']:.2f}x" not in row and "x" in row


@pytest.mark.parametrize("others", [[], ["--all"]], ids=["default", "all"])
def test_no_arm_is_told_faster_than_it_can_be(machine: Callable[[Slower], Compare], others: list[str]) -> None:
    """Something else ran while the expert was measured, and only then: by the clock every arm won four times as much,
    answer-cascade too, which threw an answer away and then wrote the expert's, token by token."""

    def disturbed(seconds: float) -> float:
        return 4.0 if seconds < 4 * 0.01 * (TOKENS + 2) else 1.0  # two: what reading the prompt takes

    rules = ["--rule", "answer-cascade:0", *others]
    text = machine(disturbed)("--json", *rules)
    document = json.loads(text)
    arms = arms_of(document)
    cascade = arms["answer-cascade:0"]
    assert cascade["text"] == TEXT.decode() and cascade["expert_calls"] == TOKENS
    assert cascade["tokens_per_second"] > 3 * arms["expert"]["tokens_per_second"]
    for arm in document["arms"]:
        if arm["expert_calls"]:
            most = arm["tokens"] / arm["expert_calls"]
            assert max(arm["speedup"], arm["speedup_low"], arm["speedup_high"]) <= most, arm["name"]
    assert document["drift"] < 0.5
    told = machine(disturbed)("-q", *rules)
    assert "less behind the arms than before them" in told
    assert f"by the clock answer-cascade:0 was faster than its {TOKENS} expert calls allow" in told


def test_a_run_that_records_is_not_timed(machine: Callable[[Slower], Compare], tmp_path: Path) -> None:
    text = machine(steady)("--trace", str(tmp_path / "trace.jsonl"))
    assert "behind the arms" not in text and "(best)" not in text and "its speeds do not count" in text
    document = json.loads(machine(steady)("--trace", str(tmp_path / "other.jsonl"), "--json"))
    assert document["drift"] is None


@pytest.mark.parametrize("arm", [1, 3], ids=["an arm", "the expert again"])
def test_one_that_is_stopped(
    machine: Callable[[Slower], Compare], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arm: int
) -> None:
    """Ctrl-C: a prefix of the expert's text is no difference, nothing is measured again, and there is a document."""
    machine(steady)
    load = TableBackend.load
    calls: list[int] = []

    def stopping(backend: TableBackend, file: Any, layers: int, stop: StopFlag, on_load: Any) -> Any:
        weights = load(backend, file, layers, stop, on_load)

        def counted(n: int) -> float:
            calls.append(n)
            if len(calls) > (TOKENS + 8 if arm == 1 else 2 * TOKENS):
                stop.set()
            if stop:
                raise Stopped("stopped")
            return 0.01

        weights.cost = counted if file.path.stem == "expert" else None
        return weights

    monkeypatch.setattr(TableBackend, "load", stopping)
    code = app(["compare", "Tell me of it.", *PAIR, "--rule", "expert", "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    assert code == 130 and document["drift"] is None
    exact = arms_of(document)["exact"]
    assert (exact["finish"], exact["identical_to_expert"]) == (("interrupted", None) if arm == 1 else ("end", True))
    assert exact["first_difference"] is exact["speedup_low"] is None


@pytest.mark.slow
@pytest.mark.tiny
def test_under_a_load_beside_it(speccas: Run) -> None:
    """A program that computes without end runs beside it. Times are what they are; no arm is told faster than its
    counts allow, and the table names the drift where there is one."""
    rules = ("--pair", "tiny-model", "--rule", "answer-cascade:0", "--rule", "token")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as load:
        try:
            done = speccas("compare", "Name three primary colours.", "-n", "12", *rules, "--json")
        finally:
            load.kill()
    document = json.loads(done.stdout)
    for arm in document["arms"]:
        most = arm["tokens"] / arm["expert_calls"] if arm["expert_calls"] else float("inf")
        assert max(arm["speedup"], arm["speedup_low"], arm["speedup_high"]) <= most, arm["name"]
    arms = arms_of(document)
    assert arms["answer-cascade:0"]["speedup"] <= 1.0
    assert arms["answer-cascade:0"]["text"] == arms["expert"]["text"]
    out = io.StringIO()
    console = Console(file=out, width=200)
    show_arms(console, Comparison([Figures.from_json(arm) for arm in document["arms"]], document["drift"]))
    assert ("behind the arms" in out.getvalue()) == (abs(math.log(document["drift"])) > math.log(1.1))
