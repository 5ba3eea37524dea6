"""Seeds: one is drawn where none is given, it is shown, and giving it writes the same text whatever drafts."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.tiny

ASK = "Write a poem."
WARM = ("-n", "12", "--temperature", "0.9")


def document(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_drawn_seed_is_shown_and_repeats_the_text(speccas: Run) -> None:
    first = speccas("run", ASK, *WARM)
    shown = re.search(r"^seed (\d+): --seed (\d+) writes this again$", first.stderr, re.MULTILINE)
    assert shown is not None and shown[1] == shown[2], first.stderr
    again = speccas("run", ASK, *WARM, "--seed", shown[1], "-k", "2")
    assert again.stdout == first.stdout and "writes this again" not in again.stderr


@pytest.mark.slow
def test_a_seed_is_drawn_only_where_none_is_given(speccas: Run, tmp_path: Path) -> None:
    warm = ("-n", "2", "--temperature", "0.9", "--json")
    drawn = {document(speccas("run", ASK, *warm))["manifest"]["seed"] for _ in range(2)}
    assert len(drawn) == 2
    config = tmp_path / "speccas" / "config.yaml"
    config.parent.mkdir()
    config.write_text("seed: 12\n")
    for given, env in ([], {"SPECCAS_SEED": "12"}), ([], {"XDG_CONFIG_HOME": str(tmp_path)}), (["--seed", "12"], {}):
        manifest = document(speccas("run", ASK, *warm, *given, env=env))["manifest"]
        assert (manifest["seed"], manifest["test"]) == (12, "coupled")


@pytest.mark.slow
def test_nothing_is_said_of_a_seed_that_decides_nothing(speccas: Run) -> None:
    for arguments in (["-n", "2"], [*WARM, "-q"], [*WARM, "--json"]):
        assert "seed" not in speccas("run", ASK, *arguments).stderr


@pytest.mark.slow
def test_compare_tells_above_temperature_0_whether_the_text_is_the_experts(speccas: Run) -> None:
    flags = ("-n", "24", "--temperature", "0.8", "--seed", "3", "--json")
    expert, exact, _, _ = document(speccas("compare", ASK, *flags))["arms"]
    assert exact["identical_to_expert"] is True and exact["text"] == expert["text"]
    assert exact["agreed"] > 0 and exact["deferred"] > 0
    other = document(speccas("compare", ASK, *flags, "--test", "token", "--rule", "token"))
    assert other["manifest"]["test"] == "token"
    assert other["arms"][1]["identical_to_expert"] is None


@pytest.mark.slow
def test_bench_uses_the_optimal_test_unless_asked(speccas: Run, tmp_path: Path) -> None:
    flags = ("--limit", "1", "--repeats", "1", "-n", "4", "--temperature", "0.8", "--rule", "exact", "--json")
    for given, test in ([], "token"), (["--test", "coupled"], "coupled"):
        manifest = document(speccas("bench", *flags, *given, "--report", str(tmp_path / test)))["manifest"]
        assert (manifest["test"], manifest["seed"]) == (test, 0)


@pytest.mark.slow
def test_a_block_test_repeats_with_the_same_draft_length_only(speccas: Run) -> None:
    first = speccas("run", ASK, *WARM, "--test", "block", "-k", "3")
    shown = re.search(r"^seed (\d+): .* with --test block and the same fixed -k$", first.stderr, re.MULTILINE)
    assert shown is not None, first.stderr
    again = document(speccas("run", ASK, *WARM, "--test", "block", "-k", "3", "--seed", shown[1], "--json"))
    assert again["arms"][0]["text"] == first.stdout.removesuffix("\n")
    assert again["manifest"]["test"] == "block"


def test_an_unknown_test_is_refused(speccas: Run) -> None:
    done = speccas("run", ASK, "--test", "optimal")
    assert done.returncode == 2 and "coupled" in done.stderr and "token" in done.stderr
