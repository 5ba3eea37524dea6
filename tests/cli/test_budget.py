"""`--budget` from the command line: what is charged is told, and what cannot keep to it is refused."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.tiny

ASK = ("run", "Write a poem.", "-n", "24", "-k", "4")


def arm(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["arms"][0]
    return found


def test_what_was_charged_is_in_the_document_and_in_the_trace(speccas: Run, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    done = speccas(*ASK, "--rule", "token:0.9", "--budget", "2", "--json", "--trace", str(trace))
    found = arm(done)
    assert json.loads(done.stdout)["manifest"]["budget"] == 2
    assert 0 < found["charged"] <= 2 and found["budget_left"] == pytest.approx(2 - found["charged"])
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert lines[0]["budget"] == 2
    tokens = [token for line in lines if line["type"] == "round" for token in line["tokens"]]
    assert sum(token["charged"] for token in tokens) == pytest.approx(found["charged"])
    number = next(i for i, token in enumerate(tokens) if token["charged"])
    why = speccas("replay", str(trace), "--why", str(number)).stdout
    assert f"charged {tokens[number]['charged']:.2f} nats of the budget" in why


@pytest.mark.slow
def test_a_budget_of_0_writes_the_experts_text(speccas: Run) -> None:
    exact, found, free = (
        arm(speccas(*ASK, "--json", *flags))
        for flags in ((), ("--rule", "token:0.9", "--budget", "0"), ("--rule", "token:0.9"))
    )
    assert found["text"] == exact["text"] != free["text"]
    assert (found["kept"], found["charged"], free["charged"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--budget", "1", "--test", "block"), "block verification judges whole drafts"),
        (("--budget", "1", "--rule", "drafter"), "drafter has none"),
        (("--budget", "-1"), "--budget '-1' is out of range"),
    ],
)
def test_what_cannot_keep_to_a_budget_is_refused(speccas: Run, flags: tuple[str, ...], said: str) -> None:
    done = speccas(*ASK, *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr and done.stderr.count("\n") == 2


@pytest.mark.slow
def test_compare_says_what_is_left(speccas: Run) -> None:
    done = speccas("compare", "Write a poem.", "-n", "24", "--rule", "token:0.9", "--budget", "2")
    assert "budget: token:0.9 " in done.stdout and "of 2 nats left" in done.stdout
